//! The flags of `orders call`.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use clap::error::ErrorKind;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::Uri;

use super::call_tls::CallTlsArgs;
use super::credentials::CredentialArgs;
use super::help::{CALL_OPTIONS, OTLP_VARIABLES};
use super::method::Method;
use super::values::{
    Conflict, Metadata, ServiceConfigJson, collector_url, metadata, positive, server_url,
    service_config,
};
use crate::duration;

/// The flags of `orders call`.
#[derive(Args, Debug)]
#[command(after_long_help = OTLP_VARIABLES)]
pub struct CallArgs {
    /// Server to call; https needs --tls-ca
    #[arg(long, value_name = "URL", global = true, help_heading = CALL_OPTIONS, default_value = "http://127.0.0.1:50051", value_parser = server_url)]
    pub to: Uri,

    /// TLS to the server.
    #[command(flatten)]
    pub tls: CallTlsArgs,

    /// Deadline of the whole call, a stream's last message included, such as 500ms or 5s
    ///
    /// It covers the time to connect, and is sent to the server as grpc-timeout.
    #[arg(long, value_name = "DURATION", global = true, help_heading = CALL_OPTIONS, value_parser = duration::parse_positive)]
    pub timeout: Option<Duration>,

    /// File with a gRPC service config (JSON): timeouts, retry policies and size limits per method
    ///
    /// The shorter of its timeout and --timeout is the deadline. Without a file, a call is only sent again if the
    /// server has certainly not processed it.
    #[arg(long, value_name = "FILE", global = true, help_heading = CALL_OPTIONS, value_parser = service_config)]
    pub service_config: Option<ServiceConfigJson>,

    /// Wait until the server can be reached, instead of failing if it cannot
    ///
    /// The wait ends at the deadline: without --timeout and a timeout in the service config it may last for ever.
    #[arg(long, global = true, help_heading = CALL_OPTIONS)]
    pub wait_for_ready: bool,

    /// Make this many calls, one after another; at the end, standard error has the number of calls by code
    ///
    /// A call that fails does not stop the others. The exit status is 0 if no call has failed.
    #[arg(long, value_name = "NUMBER", global = true, help_heading = CALL_OPTIONS, value_parser = positive)]
    pub repeat: Option<u32>,

    /// Request metadata; may be given more than once
    #[arg(short = 'H', long, value_name = "KEY=VALUE", global = true, help_heading = CALL_OPTIONS, value_parser = metadata)]
    pub metadata: Vec<Metadata>,

    /// The token to send.
    #[command(flatten)]
    pub credentials: CredentialArgs,

    /// OpenTelemetry collector (OTLP over gRPC) that receives a span of the call, such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", global = true, help_heading = CALL_OPTIONS, value_parser = collector_url)]
    pub otlp: Option<Uri>,

    /// Print on standard error what the client's layers report: log lines, metrics, and with --otlp the trace id
    #[arg(short, long, global = true, help_heading = CALL_OPTIONS)]
    pub verbose: bool,

    /// The method.
    #[command(subcommand)]
    pub method: Method,
}

impl CallArgs {
    pub(super) fn conflict(&self) -> Option<Conflict> {
        let stdin = Some(Path::new("-"));
        let message = if self.credentials.token_file.as_deref() == stdin
            && self.method.file() == stdin
        {
            "both the token and the requests would be read from standard input: use a file for one of them"
        } else if self.method.file() == stdin && self.repeat.is_some_and(|calls| calls > 1) {
            "--repeat cannot read the requests of each call from standard input: use a file"
        } else if self.credentials.given() && self.has_authorization() {
            "-H authorization=… cannot be used with --token, --token-file or --dev-key"
        } else {
            self.tls.conflict(self.to.scheme() == Some(&Scheme::HTTPS))?
        };
        Some((ErrorKind::ArgumentConflict, message.to_owned()))
    }

    /// Whether `-H` sets the `authorization` metadata.
    pub(crate) fn has_authorization(&self) -> bool {
        self.metadata.iter().any(|(key, _)| key == "authorization")
    }
}
