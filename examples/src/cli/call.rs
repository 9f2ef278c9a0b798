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
    /// Server to call; may be given more than once; https needs --tls-ca
    ///
    /// Calls are spread over all addresses of all these servers: by the policy of the service config, or in turn
    /// (round_robin). Names are resolved again from time to time. Host and port of the first URL are the :authority of
    /// each call, the name that the certificate of each server must have, and the server in the span. All URLs must have
    /// the same scheme, and stand either before or after the method.
    #[arg(long, value_name = "URL", global = true, help_heading = CALL_OPTIONS, default_value = "http://127.0.0.1:50051", value_parser = server_url)]
    pub to: Vec<Uri>,

    /// TLS to the server.
    #[command(flatten)]
    pub tls: CallTlsArgs,

    /// Deadline of the whole call, a stream's last message included, such as 500ms or 5s
    ///
    /// It covers the time to connect, and is sent to the server as grpc-timeout.
    #[arg(long, value_name = "DURATION", global = true, help_heading = CALL_OPTIONS, value_parser = duration::parse_positive)]
    pub timeout: Option<Duration>,

    /// File with a gRPC service config (JSON): balancing policy, health check, and per method timeouts, retry policies,
    /// waitForReady and size limits
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
    /// If the servers have several addresses, also those of each address. The first call then waits until all of them
    /// are connected or have failed, but at most for a second.
    ///
    /// A call that fails does not stop the others. The exit status is 0 if no call has failed. Ctrl-C ends the calls;
    /// those that have ended are counted.
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

    /// Print on standard error what the client reports: log lines of calls and connections, metrics, and with --otlp
    /// the trace id
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
        } else if has_several_schemes(&self.to) {
            "all URLs of --to must have the same scheme"
        } else {
            self.tls.conflict(self.first_url().scheme() == Some(&Scheme::HTTPS))?
        };
        Some((ErrorKind::ArgumentConflict, message.to_owned()))
    }

    /// The URL that gives the servers their name. There is always one, since the flag has a default.
    pub(crate) fn first_url(&self) -> &Uri {
        &self.to[0]
    }

    /// Whether `-H` sets the `authorization` metadata.
    pub(crate) fn has_authorization(&self) -> bool {
        self.metadata.iter().any(|(key, _)| key == "authorization")
    }
}

fn has_several_schemes(urls: &[Uri]) -> bool {
    urls.windows(2).any(|pair| pair[0].scheme() != pair[1].scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_encrypted_to_all_servers_or_to_none() {
        for (urls, are_mixed) in [
            (&["http://a:1"][..], false),
            (&["http://a:1", "http://b:2"], false),
            (&["https://a:1", "https://b:2"], false),
            (&["http://a:1", "http://b:2", "https://c:3"], true),
        ] {
            let parsed: Vec<_> = urls.iter().map(|url| Uri::from_static(url)).collect();
            assert_eq!(has_several_schemes(&parsed), are_mixed, "{urls:?}");
        }
    }
}
