//! Connections whose state is known.

mod channels;
mod dialer;
mod frames;
mod lifecycle;
mod socket;
mod stream;
mod wire;

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::dialer::{BoxConnector, CONNECT_TIMEOUT, Connection, Dialer, box_connector};
pub use self::socket::SocketConnector;
pub use self::stream::Socket;

/// The bytes of a connection, from any connector.
pub(crate) type BoxIo = Box<dyn Io>;

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl fmt::Debug for dyn Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}
