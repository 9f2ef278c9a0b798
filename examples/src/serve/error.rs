//! Errors of `orders serve`.

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;

use tonic_tls_reload::TlsError;

use crate::auth::AuthConfigError;
use crate::store::OpenError;

/// Why the server did not start or was stopped, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// It cannot listen on this address.
    Listen(String, io::Error),
    /// It cannot serve metrics on this address.
    Metrics(String, io::Error),
    /// It cannot serve health on this address.
    Health(String, io::Error),
    /// The TLS files cannot be used.
    Tls(TlsError),
    /// The database cannot be opened.
    Open(OpenError),
    /// Tokens cannot be verified.
    Auth(AuthConfigError),
    /// Authentication is off, and the address can be reached from other machines.
    AuthOff(SocketAddr),
    /// The process cannot listen for signals.
    Signals(io::Error),
    /// The server failed while it ran.
    Failed(String),
    /// A second signal stopped it while calls were still running.
    Forced,
}

impl ServeError {
    pub(super) fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                let (cause, remedy) = explain(error);
                write!(
                    f,
                    "cannot listen on {address}: {cause}; {remedy}choose another address with --listen ADDR"
                )
            }
            Self::Metrics(address, error) => {
                let (cause, remedy) = explain(error);
                write!(
                    f,
                    "cannot serve metrics on {address}: {cause}; {remedy}choose another address with \
                     --metrics ADDR, or disable metrics with --metrics off"
                )
            }
            Self::Health(address, error) => {
                let (cause, remedy) = explain(error);
                write!(
                    f,
                    "cannot serve health on {address}: {cause}; {remedy}choose another address with --health ADDR"
                )
            }
            Self::Tls(error) => {
                write!(
                    f,
                    "cannot serve TLS: {error}; `orders certs DIR` makes certificates for development"
                )
            }
            Self::Open(error) => error.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::AuthOff(address) => write!(
                f,
                "--auth off needs a loopback address, and {address} can be reached from other machines; listen \
                 on 127.0.0.1 with --listen ADDR, remove --auth off, or require client certificates with \
                 --allow-spiffe ID"
            ),
            Self::Signals(error) => write!(f, "cannot listen for signals: {error}"),
            Self::Failed(error) => write!(f, "the server failed: {error}"),
            Self::Forced => f.write_str("stopped by a second signal; running calls were ended"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Why an address cannot be used, and what can be done about it.
fn explain(error: &io::Error) -> (String, &'static str) {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            ("the port is in use".to_owned(), "stop the process that uses it, or ")
        }
        io::ErrorKind::PermissionDenied => ("this user may not use the port".to_owned(), ""),
        _ => (error.to_string(), ""),
    }
}
