//! The command line. The flags that gRPC's test descriptions name have those names, with underscores.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

/// gRPC's interoperability tests, with every layer of this workspace
#[derive(Debug, Parser)]
#[command(name = "interop")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves `grpc.testing.TestService` until SIGTERM or ctrl-c
    Serve(ServeArgs),
    /// Calls a server, and checks its responses
    Client(ClientArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port to listen on; 0: a free one
    #[arg(long, default_value_t = 10000)]
    pub(crate) port: u16,
    /// Whether connections are encrypted
    #[arg(long = "use_tls", default_value_t, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
          requires_if("true", "tls_cert_file"))]
    pub(crate) use_tls: bool,
    /// PEM file with the certificate of the server
    #[arg(long = "tls_cert_file", id = "tls_cert_file", requires = "tls_key_file")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// PEM file with its key
    #[arg(long = "tls_key_file", id = "tls_key_file", requires = "tls_cert_file")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// Callers need a token of the issuer with the keys in this file, a JSON Web Key Set
    #[arg(long = "auth_jwks", id = "auth_jwks", requires = "auth_issuer", conflicts_with = "bare")]
    pub(crate) auth_jwks: Option<PathBuf>,
    /// `iss` of the tokens
    #[arg(long = "auth_issuer", id = "auth_issuer", requires = "auth_jwks")]
    pub(crate) auth_issuer: Option<String>,
    /// `aud` of the tokens; may be repeated
    #[arg(long = "auth_audience", default_value = "interop")]
    pub(crate) auth_audience: Vec<String>,
    /// Serves without the layers of this workspace
    #[arg(long)]
    pub(crate) bare: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Host name or address of the server
    #[arg(long = "server_host", default_value = "localhost")]
    pub(crate) server_host: String,
    /// Port of the server
    #[arg(long = "server_port", default_value_t = 10000)]
    pub(crate) server_port: u16,
    /// Name that the server's certificate must have, if it is not the host
    #[arg(long = "server_host_override")]
    pub(crate) server_host_override: Option<String>,
    /// Test cases, separated by commas; `all`: each that this client has
    #[arg(long = "test_case", default_value = "large_unary", value_delimiter = ',')]
    pub(crate) test_case: Vec<String>,
    /// Whether the connection is encrypted
    #[arg(long = "use_tls", default_value_t, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
          requires_if("true", "ca_file"))]
    pub(crate) use_tls: bool,
    /// PEM file with the CA of the server's certificate
    #[arg(long = "ca_file", id = "ca_file")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File with the token that each call sends
    #[arg(long = "token_file", conflicts_with = "bare")]
    pub(crate) token_file: Option<PathBuf>,
    /// `sub` of the token, which the case `jwt_token_creds` expects in the response
    #[arg(long = "default_service_account")]
    pub(crate) default_service_account: Option<String>,
    /// Service config; the default has retries and round robin
    #[arg(long = "service_config_json", conflicts_with = "bare")]
    pub(crate) service_config_json: Option<String>,
    /// Calls without the layers of this workspace
    #[arg(long)]
    pub(crate) bare: bool,
}
