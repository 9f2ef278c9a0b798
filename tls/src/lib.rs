//! TLS for tonic servers and clients whose certificates, keys and CAs are renewed while they run.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
mod age;
#[cfg(feature = "client")]
mod client;
mod material;
mod provider;
mod reload;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "server")]
pub use self::age::{AgedConnection, AgedService, ConnectionAge, OpenCall, OpenCallsService};
#[cfg(feature = "client")]
pub use self::client::{
    ClientTls, ClientTlsBuilder, ConnectFuture, TlsConnectError, TlsConnector, TlsEndpoint,
    TlsEndpointError, TlsIo,
};
pub use self::material::{FileRole, Problem, TlsError, Validity};
pub use self::reload::{ReloadEvent, ReloadResult, TlsStatus};
#[cfg(feature = "server")]
pub use self::server::{
    ClientCa, HandshakeError, HandshakeFailure, ServerTls, ServerTlsBuilder, TlsIncoming,
};
