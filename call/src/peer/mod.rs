//! The peer of a connection, and the client behind trusted proxies.

mod connection;
mod networks;
mod unix;

pub use self::connection::Peer;
pub use self::networks::{ClientNetwork, NetworkError, TrustedProxies};
pub use self::unix::UnixPeer;
