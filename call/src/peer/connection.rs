//! The peer of a server's connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::Extensions;
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::ip_text::{self, MAX_IP};
use crate::peer::UnixPeer;
use crate::show::{InlineText, sanitize};

/// The peer of a server's connection. Behind a proxy this is the proxy: see
/// [`TrustedProxies`](crate::TrustedProxies).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// Over TCP, with or without TLS. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, from a dual-stack
    /// socket) is converted to IPv4.
    Tcp(SocketAddr),
    /// Over a Unix socket, which has no [`SocketAddr`].
    Unix(UnixPeer),
}

impl Peer {
    /// The peer that a server has recorded in the extensions of a request, if any.
    ///
    /// Reads tonic's `TcpConnectInfo` and `UdsConnectInfo`. With the feature `tls-connect-info`, also reads
    /// either of them inside a `TlsConnectInfo`, which is what a custom incoming with TLS provides. With the
    /// feature `axum`, also reads axum's `ConnectInfo<SocketAddr>`, which is present if the router was turned
    /// into a service by `into_make_service_with_connect_info::<SocketAddr>()`.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let tcp = extensions.get::<TcpConnectInfo>().or_else(|| over_tls::<TcpStream>(extensions));
        if let Some(address) = tcp.and_then(TcpConnectInfo::remote_addr) {
            return Some(Self::tcp(address));
        }
        #[cfg(unix)]
        {
            use tokio::net::UnixStream;
            use tonic::transport::server::UdsConnectInfo;

            let unix = extensions.get::<UdsConnectInfo>();
            if let Some(unix) = unix.or_else(|| over_tls::<UnixStream>(extensions)) {
                return Some(Self::Unix(UnixPeer::of(unix)));
            }
        }
        of_axum(extensions)
    }

    fn tcp(mut address: SocketAddr) -> Self {
        if address.is_ipv6() {
            address.set_ip(address.ip().to_canonical());
        }
        Self::Tcp(address)
    }

    /// The IP address; `None` over a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        Some(self.socket_addr()?.ip())
    }

    /// The IP address and port; `None` over a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The address for logs and spans: OpenTelemetry's `network.peer.address`. This is the IP address, or the
    /// name of the Unix socket, which clients rarely have. The peer chooses that name, so it is
    /// [sanitized](crate::sanitize).
    pub fn address(&self) -> Option<PeerAddress> {
        Some(PeerAddress(match self {
            Self::Tcp(address) => Address::Ip(ip_text::ip(address.ip())),
            Self::Unix(unix) => Address::Name(sanitize(&*unix.name()?).into_owned()),
        }))
    }
}

/// The address of a [`Peer`] as text: see [`Peer::address`]. An IP address is written without allocation.
#[derive(Clone, Debug)]
pub struct PeerAddress(Address);

#[derive(Clone, Debug)]
enum Address {
    Ip(InlineText<MAX_IP>),
    Name(String),
}

impl PeerAddress {
    /// The text of an IP address in ASCII, for which nothing has to be checked; `None` for a name.
    pub fn as_ip(&self) -> Option<&[u8]> {
        match &self.0 {
            Address::Ip(ip) => Some(ip.as_bytes()),
            Address::Name(_) => None,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Address::Ip(ip) => ip.as_str(),
            Address::Name(name) => name,
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The connect info of a TLS connection over this kind of stream.
#[cfg(feature = "tls-connect-info")]
fn over_tls<IO>(extensions: &Extensions) -> Option<&IO::ConnectInfo>
where
    IO: Connected,
{
    use tokio_rustls::server::TlsStream;

    // `TlsConnectInfo<IO::ConnectInfo>`. tonic exports that name only together with a cryptography provider.
    type Info<IO> = <TlsStream<IO> as Connected>::ConnectInfo;
    let info = extensions.get::<Info<IO>>()?;
    Some(info.get_ref())
}

#[cfg(not(feature = "tls-connect-info"))]
fn over_tls<IO: Connected>(_: &Extensions) -> Option<&IO::ConnectInfo> {
    None
}

#[cfg(feature = "axum")]
fn of_axum(extensions: &Extensions) -> Option<Peer> {
    use axum::extract::ConnectInfo;

    let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(Peer::tcp(*address))
}

#[cfg(not(feature = "axum"))]
fn of_axum(_: &Extensions) -> Option<Peer> {
    None
}

/// `192.0.2.1:4711`, `[2001:db8::1]:4711`, `unix:/run/orders.sock`, or `unix:` without a name.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => ip_text::socket(*address).fmt(f),
            Self::Unix(_) => {
                f.write_str("unix:")?;
                self.address().map_or(Ok(()), |name| name.fmt(f))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str) -> TcpConnectInfo {
        let remote_addr = Some(address.parse().expect("an address"));
        TcpConnectInfo { local_addr: None, remote_addr }
    }

    #[test]
    fn a_mapped_address_is_ipv4_and_others_are_unchanged() {
        for (socket, peer, ip) in [
            ("192.0.2.1:7", "192.0.2.1:7", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:7", "192.0.2.1:7", "192.0.2.1"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7", "2001:db8::1"),
        ] {
            let mut extensions = Extensions::new();
            assert_eq!(Peer::of(&extensions), None);
            extensions.insert(tcp(socket));
            let found = Peer::of(&extensions).expect("a peer");
            assert_eq!(found.to_string(), peer);
            let address = found.address().expect("an address");
            assert_eq!((address.as_str(), address.to_string()), (ip, ip.to_owned()));
            assert_eq!(address.as_ip(), Some(ip.as_bytes()));
            assert_eq!(found.ip().map(|ip| ip.to_string()), Some(ip.to_owned()));
            assert_eq!(found.socket_addr().map(|at| at.to_string()), Some(peer.to_owned()));
        }
    }

    #[cfg(feature = "axum")]
    #[test]
    fn axums_address_is_used_if_tonic_has_none() {
        let mut extensions = Extensions::new();
        let axum = "[::ffff:192.0.2.1]:7".parse::<SocketAddr>().expect("an address");
        extensions.insert(axum::extract::ConnectInfo(axum));
        let peer = |extensions: &_| Peer::of(extensions).map(|peer| peer.to_string());
        assert_eq!(peer(&extensions).as_deref(), Some("192.0.2.1:7"));
        extensions.insert(tcp("192.0.2.2:7"));
        assert_eq!(peer(&extensions).as_deref(), Some("192.0.2.2:7"));
    }
}
