use std::net::SocketAddr;

use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;

/// A listener on a free loopback port, and an endpoint that connects to it.
///
/// # Panics
///
/// If no port is free.
pub fn listen() -> (TcpIncoming, Endpoint) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let incoming = TcpIncoming::bind(any).expect("a free port on loopback");
    let address = incoming.local_addr().expect("a bound listener has an address");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URI");
    (incoming, endpoint)
}
