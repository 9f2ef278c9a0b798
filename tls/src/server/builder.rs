use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::client_ca::ClientCa;
use super::config::{ServerRecipe, ServerReloader};
use super::handshake::{self, HandshakeError};
use super::incoming::TlsIncoming;
use crate::material::{TlsError, TlsFile};
use crate::provider;
use crate::reload::{OnReload, ReloadEvent, Settings, TlsStatus};

/// TLS of a server, from files that are renewed while it runs.
///
/// Certificate, key, client CAs and revocation lists are checked and replaced together. Connections that exist keep
/// what they were made with. A renewed set ends all resumable sessions.
///
/// Clones share the configuration. The files are read in the background for as long as one of them exists.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerReloader>);

/// Builds a [`ServerTls`].
#[derive(Clone)]
#[must_use = "call `build()` to read the files"]
pub struct ServerTlsBuilder {
    identity: (TlsFile, TlsFile),
    client_ca: Option<ClientCa>,
    http1: bool,
    settings: Settings,
}

impl ServerTls {
    /// Serves with the certificate (and its intermediate certificates) and the private key in these PEM files.
    pub fn from_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> ServerTlsBuilder {
        ServerTlsBuilder {
            identity: (TlsFile::certificate(certificate), TlsFile::key(key)),
            client_ca: None,
            http1: false,
            settings: Settings::default(),
        }
    }

    /// Does the handshakes of the connections of `incoming`, such as a
    /// [`TcpIncoming`](tonic::transport::server::TcpIncoming): see [`TlsIncoming`].
    pub fn incoming<I, IO, E>(&self, incoming: I) -> TlsIncoming<I, IO>
    where
        I: tokio_stream::Stream<Item = Result<IO, E>>,
        IO: 'static,
    {
        TlsIncoming::new(incoming, Arc::clone(&self.0))
    }

    /// Does the handshake of one connection, under the configuration that is the newest now: for an accept loop of your
    /// own. Call it in a task per connection, and bound their number.
    ///
    /// # Errors
    ///
    /// If the handshake fails, or takes longer than `timeout`.
    pub async fn accept<IO>(
        &self,
        io: IO,
        timeout: Duration,
    ) -> Result<TlsStream<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        handshake::accept(&self.0, io, timeout).await
    }

    /// The newest configuration. [`accept`](Self::accept) also checks what rustls does not: that the certificate of a
    /// resumed session has not expired.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.started_config()
    }

    /// What is in use now.
    pub fn status(&self) -> TlsStatus {
        self.0.status()
    }

    /// Reads the files now, for example on SIGHUP. Returns whether changed files came into use.
    ///
    /// # Errors
    ///
    /// If the files can't be used. The previous ones stay in use.
    pub async fn reload(&self) -> Result<bool, Arc<TlsError>> {
        self.0.check().await
    }
}

impl ServerTlsBuilder {
    /// Requires client certificates of these CAs: mutual TLS. A path is one bundle; see [`ClientCa`] for SPIFFE trust
    /// domains, optional certificates and revocation lists.
    ///
    /// Default: clients are not asked for a certificate.
    pub fn client_ca(mut self, ca: impl Into<ClientCa>) -> Self {
        self.client_ca = Some(ca.into());
        self
    }

    /// Also offers HTTP/1.1, after HTTP/2. Set it exactly if the server accepts it:
    /// [`accept_http1`](tonic::transport::Server::accept_http1). Default: `false`.
    pub fn accept_http1(mut self, accept: bool) -> Self {
        self.http1 = accept;
        self
    }

    /// How often the files are read. Default: 10 s; at least 100 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.set_interval(interval);
        self
    }

    /// Calls `hook` for changed files, whether they are used or not.
    pub fn on_reload(mut self, hook: impl Fn(&ReloadEvent<'_>) + Send + Sync + 'static) -> Self {
        self.settings.on_reload = OnReload::new(hook);
        self
    }

    /// Uses this cryptography. Default: the process's default provider, otherwise that of the
    /// [features](crate#features).
    pub fn with_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.settings.provider = Some(provider);
        self
    }

    /// Uses this clock for the validity of certificates. Default: the system's clock.
    pub fn with_time_provider(mut self, time: Arc<dyn TimeProvider>) -> Self {
        self.settings.time = time;
        self
    }

    /// Reads and checks the files. Blocks while it reads them.
    ///
    /// # Errors
    ///
    /// If the files can't be used, or there is no cryptography. The error names the file.
    pub fn build(self) -> Result<ServerTls, TlsError> {
        if let Some(ca) = &self.client_ca {
            ca.check()?;
        }
        let provider = provider::choose(self.settings.provider.clone())?;
        let time = Arc::clone(&self.settings.time);
        let recipe = ServerRecipe::new(self.identity, self.client_ca, self.http1, provider, time);
        ServerReloader::new(recipe, self.settings).map(ServerTls)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerTlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTlsBuilder")
            .field("certificate", &self.identity.0.path)
            .field("key", &self.identity.1.path)
            .field("client_ca", &self.client_ca)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
