//! A balancer over connections of a `TlsConnector`, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_balance::{Address, Balanced, SocketConnector, State};
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_tls_reload::{ClientTls, ServerTls, TlsEndpoint};

use crate::support::{Ca, Secret, provider, server};

struct Running {
    address: Address,
    drain: oneshot::Sender<()>,
}

fn serve(tls: &ServerTls) -> Running {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = incoming.local_addr().unwrap().into();
    let (drain, drained) = oneshot::channel::<()>();
    let routes = Server::builder().add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(routes.serve_with_incoming_shutdown(tls.incoming(incoming), async {
        _ = drained.await;
    }));
    Running { address, drain }
}

fn over<'a>(endpoint: &TlsEndpoint, servers: impl IntoIterator<Item = &'a Running>) -> Balanced {
    let sockets = SocketConnector::new(endpoint.endpoint());
    let addresses = servers.into_iter().map(|server| server.address.clone());
    Balanced::list(endpoint.endpoint().clone(), addresses)
        .connector(endpoint.connector().over(sockets))
        .build()
}

async fn until(balanced: &Balanced, expected: &[State]) {
    let reached = async {
        while balanced.states().iter().map(|(_, state)| *state).ne(expected.iter().copied()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), reached).await.expect("the states are reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_while_a_server_drains_and_a_stranger_gets_none() {
    let (ca, other) = (Ca::new("server"), Ca::new("other"));
    let (served, stranger) =
        (Secret::new(&ca.server(), &[&ca]), Secret::new(&other.server(), &[&other]));
    let tls = server(&served).build().unwrap();
    let mut servers: Vec<_> = (0..2).map(|_| serve(&tls)).collect();
    servers.push(serve(&server(&stranger).build().unwrap()));
    let client = ClientTls::from_files(served.path("ca.crt")).with_provider(provider());
    // The certificates have the name of the host, and not of the addresses.
    let endpoint = client.build().unwrap().endpoint("https://localhost").unwrap();
    let balanced = over(&endpoint, &servers);
    until(&balanced, &[State::Ready, State::Ready, State::TransientFailure]).await;

    let mut kinds = KindsClient::new(balanced.clone());
    let mut drain = Some(servers.swap_remove(0).drain);
    for number in 0..1_000 {
        if number == 500 {
            drain.take().unwrap().send(()).unwrap();
        }
        kinds.unary(Ask::default()).await.unwrap();
    }
    // The GOAWAY was read below TLS.
    assert_ne!(balanced.states()[0].1, State::Ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_connections_go_on_and_new_ones_use_the_renewed_certificates() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let served = Secret::new(&old.server(), &[&old]);
    let trusted = Secret::new(&old.server(), &[&old]);
    let tls = server(&served).build().unwrap();
    let running = serve(&tls);
    let client = ClientTls::from_files(trusted.path("ca.crt")).with_provider(provider());
    let client = client.build().unwrap();
    let endpoint = client.endpoint("https://localhost").unwrap();
    let balanced = over(&endpoint, [&running]);
    until(&balanced, &[State::Ready]).await;

    let identity = new.server();
    served.replace(&identity, &[&new]);
    trusted.replace(&identity, &[&new]);
    assert!(tls.reload().await.unwrap() && client.reload().await.unwrap());
    let renewed = over(&endpoint, [&running]);
    until(&renewed, &[State::Ready]).await;
    for channel in [balanced, renewed] {
        KindsClient::new(channel).unary(Ask::default()).await.unwrap();
    }
}
