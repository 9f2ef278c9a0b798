//! TLS of a server.

mod builder;
mod certificates;
mod client_ca;
mod config;
mod handshake;
mod handshakes;
mod incoming;
mod trust_domains;

pub use self::builder::{ServerTls, ServerTlsBuilder};
pub use self::certificates::client_certificates;
pub use self::client_ca::ClientCa;
pub use self::handshake::{HandshakeError, HandshakeFailure};
pub use self::incoming::TlsIncoming;
