//! Who is at the other end, behind proxies too.

mod connection;
mod networks;
mod unix;

pub use self::connection::Peer;
pub use self::networks::{ClientNetwork, NetworkError, TrustedProxies};
pub use self::unix::UnixPeer;
