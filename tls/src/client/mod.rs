//! TLS of a client.

mod builder;
mod config;
mod connector;
mod endpoint;

pub use self::builder::{ClientTls, ClientTlsBuilder};
pub use self::connector::{ConnectFuture, TlsConnectError, TlsConnector, TlsIo};
pub use self::endpoint::{TlsEndpoint, TlsEndpointError};
