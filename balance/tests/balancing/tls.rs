//! With the TLS of tonic's `Endpoint`.

use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic_balance::{Balanced, BalancedBuilder, State};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, listen};

struct Running {
    address: std::net::SocketAddr,
    certificate: String,
    _stop: oneshot::Sender<()>,
}

/// A server whose certificate has this name.
fn start(name: &str) -> Running {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let identity = Identity::from_pem(&certificate, key);
    let (incoming, _) = listen();
    let address = incoming.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(server.serve_with_incoming_shutdown(incoming, async {
        let _ = stopped.await;
    }));
    Running { address, certificate, _stop: stop }
}

/// Trusts the servers' own certificates.
fn trusting(servers: &[&Running]) -> BalancedBuilder {
    let trusted = servers.iter().map(|server| Certificate::from_pem(&server.certificate));
    let tls = ClientTlsConfig::new().ca_certificates(trusted);
    let endpoint = Endpoint::from_static("https://orders.example").tls_config(tls).unwrap();
    Balanced::list(endpoint, servers.iter().map(|server| server.address))
}

async fn until(balanced: &Balanced, reached: impl Fn(&[State]) -> bool) {
    let wait = async {
        loop {
            let states: Vec<_> = balanced.states().into_iter().map(|(_, state)| state).collect();
            if !states.is_empty() && reached(&states) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the states are reached");
}

#[tokio::test]
async fn the_certificate_is_that_of_the_host_and_not_of_the_address() {
    let servers = [start("orders.example"), start("orders.example")];
    let balanced = trusting(&servers.each_ref()).build();
    until(&balanced, |states| states == [State::Ready; 2]).await;
    let mut kinds = KindsClient::new(balanced);
    for _ in 0..10 {
        kinds.unary(Ask::default()).await.unwrap();
    }

    let other = start("127.0.0.1");
    let mut kinds = KindsClient::new(trusting(&[&other]).build());
    let status = kinds.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("certificate"), "{status}");
}

#[tokio::test]
async fn a_server_that_drains_costs_no_call() {
    let [staying, leaving] = [start("orders.example"), start("orders.example")];
    let balanced = trusting(&[&staying, &leaving]).build();
    until(&balanced, |states| states == [State::Ready; 2]).await;
    let mut kinds = KindsClient::new(balanced.clone());
    for _ in 0..10 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    drop(leaving);
    for _ in 0..30 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    until(&balanced, |states| states == [State::Ready, State::TransientFailure]).await;
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_not_ready() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = start("orders.example");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&serving.certificate));
    let endpoint = Endpoint::from_static("https://orders.example")
        .tls_config(tls)
        .unwrap()
        .connect_timeout(Duration::from_millis(300));
    let addresses = [silent.local_addr().unwrap(), serving.address];
    let balanced = Balanced::list(endpoint, addresses).build();
    let mut kinds = KindsClient::new(balanced.clone());
    for _ in 0..10 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    until(&balanced, |states| states == [State::TransientFailure, State::Ready]).await;
}
