use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Where a server can be connected to.
///
/// ```
/// use std::net::SocketAddr;
/// use tonic_balance::Address;
///
/// let tcp: Address = "10.0.0.7:50051".parse()?;
/// assert_eq!(tcp, Address::from(SocketAddr::from(([10, 0, 0, 7], 50051))));
/// assert_eq!(tcp.to_string(), "10.0.0.7:50051");
/// assert_eq!(Address::unix("/run/orders.sock").to_string(), "unix:/run/orders.sock");
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket. On systems without Unix sockets, each attempt to connect fails.
    Unix(Arc<PathBuf>),
}

impl Address {
    /// The address of a Unix socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(Arc::new(path.into()))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for Address {
    type Err = AddrParseError;

    /// Parses an IP address and a port, such as `10.0.0.7:50051` or `[::1]:50051`. The name of a host is an error: use
    /// [`Balanced::host`](crate::Balanced::host).
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.parse().map(Self::Tcp)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
