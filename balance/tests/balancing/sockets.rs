//! Real servers on loopback: spread, addresses that cannot be used, and what fits around a balancer.

#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
#[cfg(target_os = "linux")]
use tokio::net::TcpStream;
use tokio::task::JoinSet;
#[cfg(target_os = "linux")]
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Endpoint, Server};
use tonic_balance::{Address, Balanced, BoxChannel, Change, State};
use tonic_call::{EndedBy, ObserveLayer};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Recorder};
use tower::Layer as _;

use crate::servers::{Running, closed_port, endpoint, over, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_are_spread_evenly() {
    let servers = Running::start_many(4);
    let balanced = over(&servers);
    until(&balanced, 4, State::Ready).await;
    let mut set = JoinSet::new();
    for _ in 0..64 {
        let mut kinds = KindsClient::new(balanced.clone());
        set.spawn(async move {
            for _ in 0..25 {
                kinds.unary(Ask::default()).await.unwrap();
            }
        });
    }
    set.join_all().await;
    for server in &servers {
        let calls = server.calls();
        assert!((396..=404).contains(&calls), "{calls} of 1600");
    }
}

#[tokio::test]
async fn addresses_of_no_use_cost_no_call() {
    let server = Running::start();
    // The kernel accepts connections for it, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let all = [closed_port().await, silent.local_addr().unwrap(), server.address];
    let endpoint = endpoint().connect_timeout(Duration::from_millis(300));
    let balanced = Balanced::list(endpoint, all).build();
    until(&balanced, 1, State::Ready).await;
    let mut kinds = KindsClient::new(balanced.clone());
    for _ in 0..50 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    until(&balanced, 2, State::TransientFailure).await;
    for _ in 0..50 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    assert_eq!(server.calls(), 100);
}

/// A listener whose queue of connections is full. Further attempts to connect to it hang.
#[cfg(target_os = "linux")]
async fn full_listener() -> (Socket, SocketAddr, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    let connect = || timeout(Duration::from_millis(200), TcpStream::connect(address));
    while let Ok(stream) = connect().await {
        queued.push(stream.unwrap());
    }
    (listener, address, queued)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_whose_connect_hangs_costs_no_call() {
    let server = Running::start();
    let (_listener, full, _queued) = full_listener().await;
    let endpoint = endpoint().connect_timeout(Duration::from_millis(300));
    let balanced = Balanced::list(endpoint, [full, server.address]).build();
    until(&balanced, 1, State::Ready).await;
    assert_eq!(balanced.states()[0].1, State::Connecting);
    let mut kinds = KindsClient::new(balanced.clone());
    for _ in 0..50 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    until(&balanced, 1, State::TransientFailure).await;
    for _ in 0..50 {
        kinds.unary(Ask::default()).await.unwrap();
    }
    assert_eq!(server.calls(), 100);
}

#[tokio::test]
async fn a_host_name_is_resolved() {
    let server = Running::start();
    let endpoint = format!("http://localhost:{}", server.address.port());
    let balanced = Balanced::host(Endpoint::from_shared(endpoint).unwrap()).build();
    let mut kinds = KindsClient::new(BoxChannel::new(balanced.clone()));
    kinds.unary(Ask::default()).await.unwrap();
    assert!(balanced.states().contains(&(server.address.into(), State::Ready)));
}

#[tokio::test]
async fn layers_and_interceptors_fit_around_it() {
    let server = Running::start();
    let balanced = over(std::slice::from_ref(&server));
    let recorder = Recorder::default();
    let layered = ObserveLayer::client(recorder.clone()).layer(balanced.clone());
    KindsClient::with_interceptor(layered, Ok).unary(Ask::default()).await.unwrap();
    drop(server);
    until(&balanced, 0, State::Ready).await;
    let layered = ObserveLayer::client(recorder.clone()).layer(balanced);
    KindsClient::new(BoxChannel::new(layered)).unary(Ask::default()).await.unwrap_err();
    let ended: Vec<_> = recorder.ended().into_iter().map(|call| call.by).collect();
    assert_eq!(ended, [EndedBy::Service, EndedBy::Transport]);
}

#[tokio::test]
async fn a_port_on_which_nobody_listens_is_told() {
    let closed = closed_port().await;
    let mut kinds = KindsClient::new(Balanced::list(endpoint(), [closed]).build());
    let status = kinds.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = format!(
        "the only address of orders.svc:50051 is not connected; last error: {closed}: Connection refused"
    );
    assert!(status.message().starts_with(&expected), "{status}");
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_addresses_too() {
    let path = std::env::temp_dir().join(format!("tonic-balance-{}.sock", std::process::id()));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    let server = tokio::spawn(
        Server::builder()
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let changes = tokio_stream::once(Change::Add(Address::unix(&path)));
    let mut kinds = KindsClient::new(Balanced::discover(endpoint(), changes).build());
    let result = kinds.unary(Ask::default()).await;
    std::fs::remove_file(&path).unwrap();
    server.abort();
    result.unwrap();
}
