//! What the calls need: the servers, their keys and certificates, and what is observed of them.

use std::time::Duration;

use super::error::DemoError;
use super::folder::Folder;
use super::log::Log;
use super::server::Server;
use super::spans::{SpanReceiver, Spans};
use crate::auth::{DevKey, READ, WRITE};
use crate::certs;
use crate::shell;
use crate::traces::Traces;

/// The service config of gRPC's guides: round robin, and retries of `UNAVAILABLE`.
const SERVICE_CONFIG: &str = include_str!("../../service-config.json");

/// Each caller may call the method so often per second, and so often at once.
const QUOTA: &str = "orders.v1.OrderService/AdvanceOrder=1/3:principal";

/// Name of the main server in the log.
pub(super) const SERVER: &str = "server";

/// Name of the server that speaks TLS, in the log.
pub(super) const TLS_SERVER: &str = "TLS server";

/// Everything that is running.
pub(super) struct Stage<'a> {
    /// Most calls are of this server.
    pub(super) server: Server,
    /// Together with it, the servers that calls are spread over.
    pub(super) replicas: [Server; 2],
    /// A server that needs a client certificate beside the token.
    pub(super) tls: Server,
    pub(super) log: Log,
    pub(super) spans: Spans,
    pub(super) traces: &'a Traces,
    /// Dropped after the servers.
    pub(super) files: Files,
}

/// The paths of the files, and a token.
pub(super) struct Files {
    pub(super) folder: Folder,
    /// The development key of all servers.
    pub(super) key: String,
    /// A development key of none of them.
    pub(super) other_key: String,
    /// A token that allows to read.
    pub(super) read_only_token: String,
    pub(super) service_config: String,
}

impl<'a> Stage<'a> {
    /// Starts the servers, at the same time, and waits until they listen.
    pub(super) async fn start(
        receiver: SpanReceiver,
        traces: &'a Traces,
        log: Log,
    ) -> Result<Self, DemoError> {
        let endpoint = receiver.url().to_string();
        let spans = receiver.serve()?;
        let files = Files::make()?;
        let key = ["--dev-key", &files.key];
        let file = |name| files.folder.file(name);
        let [database, certificate, certificate_key, ca] =
            ["orders.db", certs::SERVER, certs::SERVER_KEY, certs::CA].map(file);
        let observed = ["--metrics", "127.0.0.1:0", "--otlp", &endpoint, "--faults"];
        let main = [&key[..], &observed, &["--db", &database, "--limit", QUOTA]].concat();
        let small = [&key[..], &["--db", ":memory:", "--metrics", "off"]].concat();
        let allowed = format!("{}/client", certs::TRUST_DOMAIN);
        let mutual = ["--tls-cert", &certificate, "--tls-key", &certificate_key];
        let mutual = [&small[..], &mutual, &["--client-ca", &ca, "--allow-spiffe", &allowed]];
        let mutual = [&mutual.concat()[..], &["--otlp", &endpoint]].concat();
        let (server, second, third, tls) = tokio::try_join!(
            Server::start(SERVER, &main, &log),
            Server::start("second server", &small, &log),
            Server::start("third server", &small, &log),
            Server::start(TLS_SERVER, &mutual, &log),
        )?;
        Ok(Self { server, replicas: [second, third], tls, log, spans, traces, files })
    }

    /// Shuts all servers down.
    pub(super) async fn stop(self) {
        let [second, third] = self.replicas;
        tokio::join!(self.server.stop(), second.stop(), third.stop(), self.tls.stop());
    }

    /// Shuts all servers but the main one down.
    pub(super) async fn keep_one(self) -> (Server, Files) {
        let [second, third] = self.replicas;
        tokio::join!(second.stop(), third.stop(), self.tls.stop());
        (self.server, self.files)
    }
}

impl Files {
    fn make() -> Result<Self, DemoError> {
        let folder = Folder::create().map_err(|error| {
            let parent = std::env::temp_dir();
            DemoError::setup(format!("no folder can be made in {}: {error}", parent.display()))
        })?;
        certs::make(folder.file("").as_ref()).map_err(DemoError::setup)?;
        let [key, other_key] = ["dev-key", "other-dev-key"].map(|name| folder.file(name));
        let made = DevKey::read_or_make(key.as_ref()).map_err(DemoError::setup)?;
        DevKey::read_or_make(other_key.as_ref()).map_err(DemoError::setup)?;
        let read_only_token =
            made.mint(&[READ], Duration::from_secs(60 * 60)).map_err(DemoError::setup)?;
        let service_config = folder.write("service-config.json", SERVICE_CONFIG)?;
        Ok(Self { folder, key, other_key, read_only_token, service_config })
    }

    /// The command that prints a token for the servers.
    pub(super) fn token_command(&self) -> String {
        let (program, key) = (shell::program(), shell::quoted(&self.key));
        format!("{program} token \\\n    --scope {READ} --scope {WRITE} \\\n    --dev-key {key}")
    }
}
