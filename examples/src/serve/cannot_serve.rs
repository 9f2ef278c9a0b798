//! Why there is no server, told to who wants to start one.

use std::fmt;
use std::net::SocketAddr;

use crate::auth::CannotGuard;
use crate::store::CannotOpen;

/// Why the server did not run, or did not end well, and how to mend it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotServe {
    /// Nothing can listen on that address.
    Listen(String, std::io::Error),
    /// Nothing can serve metrics on that address.
    Metrics(String, std::io::Error),
    /// The database cannot be opened.
    Open(CannotOpen),
    /// It can't be told who calls.
    Guard(CannotGuard),
    /// Anybody might call from elsewhere, and nobody is asked for a token.
    OpenToAll(SocketAddr),
    /// The process cannot listen for signals.
    Signals(std::io::Error),
    /// The server failed while it ran.
    Failed(String),
    /// A second signal ended it before every call had ended.
    Hastily,
}

impl fmt::Display for CannotServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                let (why, how) = cannot_listen(error);
                write!(
                    f,
                    "cannot listen on {address}: {why}; {how}choose another with --listen ADDR"
                )
            }
            Self::Metrics(address, error) => {
                let (why, how) = cannot_listen(error);
                write!(
                    f,
                    "cannot serve metrics on {address}: {why}; {how}choose another with --metrics ADDR, \
                     or --metrics off"
                )
            }
            Self::Open(error) => error.fmt(f),
            Self::Guard(error) => error.fmt(f),
            Self::OpenToAll(address) => write!(
                f,
                "with --auth off only this machine is served, and {address} is open to others; listen on \
                 127.0.0.1 with --listen ADDR, or leave --auth off out"
            ),
            Self::Signals(error) => write!(f, "cannot listen for signals: {error}"),
            Self::Failed(error) => write!(f, "the server failed: {error}"),
            Self::Hastily => f.write_str("stopped by a second signal; running calls were cut off"),
        }
    }
}

impl std::error::Error for CannotServe {}

/// Why not, and what could be done about it.
fn cannot_listen(error: &std::io::Error) -> (String, &'static str) {
    use std::io::ErrorKind::{AddrInUse, PermissionDenied};
    match error.kind() {
        AddrInUse => ("the port is in use".to_owned(), "stop what uses it, or "),
        PermissionDenied => ("this user may not use that port".to_owned(), ""),
        _ => (error.to_string(), ""),
    }
}
