use std::net::SocketAddr;

use http::Extensions;
use tonic::transport::server::TcpConnectInfo;

/// The address at the other end of a server's connection, with TLS or without.
///
/// `None` if tonic's server did not say: over a Unix socket, for example. An IPv4 address that a
/// dual-stack socket shows as IPv6 (`::ffff:192.0.2.1`) is given as IPv4. Behind a proxy it is the
/// proxy's.
pub fn peer_address(extensions: &Extensions) -> Option<SocketAddr> {
    let mut peer = extensions.get::<TcpConnectInfo>()?.remote_addr()?;
    peer.set_ip(peer.ip().to_canonical());
    Some(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_given_as_what_it_is() {
        for (socket, peer) in [
            ("192.0.2.1:7", "192.0.2.1:7"),
            ("[::ffff:192.0.2.1]:7", "192.0.2.1:7"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
        ] {
            let mut extensions = Extensions::new();
            assert_eq!(peer_address(&extensions), None);
            let remote_addr = Some(socket.parse().expect("an address"));
            extensions.insert(TcpConnectInfo { local_addr: None, remote_addr });
            assert_eq!(peer_address(&extensions).map(|peer| peer.to_string()), Some(peer.into()));
        }
    }
}
