//! The peer of a connection, and the client behind trusted proxies.

#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod ip_text;
#[cfg(feature = "server")]
mod networks;
mod spiffe_id;
#[cfg(feature = "server")]
mod unix;

#[cfg(feature = "server")]
pub use self::connection::{Peer, PeerAddress};
#[cfg(feature = "server")]
pub use self::networks::{ClientNetwork, NetworkError, TrustedProxies};
pub use self::spiffe_id::{SpiffeId, SpiffeIdError};
#[cfg(feature = "server")]
pub use self::unix::UnixPeer;
