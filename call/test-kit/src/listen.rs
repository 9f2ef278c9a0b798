use std::net::SocketAddr;

use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;

/// A free port on loopback: what a server listens on, and an endpoint that calls it.
///
/// # Panics
///
/// If there is none.
pub fn listen() -> (TcpIncoming, Endpoint) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let incoming = TcpIncoming::bind(any).expect("a free port on loopback");
    let address = incoming.local_addr().expect("a bound listener has an address");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI");
    (incoming, endpoint)
}
