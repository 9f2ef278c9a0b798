//! Real servers on loopback: spread, kill, drain, and addresses that are of no use.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status};
use tonic_balance::{Address, Balanced, BoxChannel, Change, State};
use tonic_call::{EndedBy, ObserveLayer};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Recorder};
use tower::Layer as _;

/// A server with a runtime of its own, so that killing it is killing it.
struct Running {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), tonic::transport::Error>>>,
}

impl Running {
    fn start(address: Option<SocketAddr>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let incoming = TcpIncoming::bind(address.unwrap_or(any)).unwrap();
        let address = incoming.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let counting = move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(request)
        };
        let service = KindsServer::with_interceptor(KindsService::default(), counting);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::builder().add_service(service);
        let task = runtime.spawn(server.serve_with_incoming_shutdown(incoming, async {
            // The server lives until it is stopped or killed.
            let _ = stopped.await;
        }));
        drop(_entered);
        Self { address, calls, runtime: Some(runtime), stop: Some(stop), task: Some(task) }
    }

    fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }

    fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it, and waits for its last call: the end of its runtime would cut calls off.
    async fn drain(&mut self) {
        self.stop();
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn endpoint() -> Endpoint {
    Endpoint::from_static("http://orders.svc:50051")
}

fn over(servers: &[Running]) -> Balanced {
    Balanced::list(endpoint(), servers.iter().map(|server| server.address)).build()
}

async fn until(balanced: &Balanced, count: usize, state: State) {
    let reached = async {
        while balanced.states().iter().filter(|(_, now)| *now == state).count() != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the states are reached");
}

/// Calls from several callers, until it is stopped.
struct Load {
    callers: JoinSet<BTreeMap<String, usize>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Load {
    fn start(balanced: &Balanced, callers: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..callers {
            let mut kinds = KindsClient::new(balanced.clone());
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            set.spawn(async move {
                let mut outcomes = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let outcome = match kinds.unary(Ask::default()).await {
                        Ok(_) => "ok".to_owned(),
                        Err(status) => outcome(&status),
                    };
                    *outcomes.entry(outcome).or_default() += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                outcomes
            });
        }
        Self { callers: set, stop, done }
    }

    /// Waits until this number of further calls is done.
    async fn go_on(&self, calls: usize) {
        let until = self.done.load(Ordering::Relaxed) + calls;
        while self.done.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    }

    /// How many calls had which outcome.
    async fn stop(self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for (outcome, count) in self.callers.join_all().await.into_iter().flatten() {
            *all.entry(outcome).or_default() += count;
        }
        all
    }
}

/// Whether a call was sent, and its connection broke. On a busy machine a server that drains does this, too: the kernel
/// drops answers that the client has not read when the server closes with unread bytes. Such a call may have run.
fn is_cut_off(outcome: &str) -> bool {
    outcome.contains("connection error: ")
        && (outcome.ends_with("broken pipe") || outcome.ends_with("connection reset"))
}

/// The address of a port on which nobody listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// The code, and the error with its sources.
fn outcome(status: &Status) -> String {
    let mut text = format!("{:?}", tonic_call::code_of_error(status));
    let mut next: Option<&dyn std::error::Error> = Some(status);
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_are_spread_evenly() {
    let servers: Vec<_> = (0..4).map(|_| Running::start(None)).collect();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_drains_under_load_costs_no_call() {
    let mut servers: Vec<_> = (0..3).map(|_| Running::start(None)).collect();
    let balanced = over(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::start(&balanced, 16);
    for server in &mut servers {
        load.go_on(200).await;
        server.drain().await;
        until(&balanced, 2, State::Ready).await;
        load.go_on(200).await;
        *server = Running::start(Some(server.address));
        until(&balanced, 3, State::Ready).await;
    }
    let outcomes = load.stop().await;
    assert!(outcomes.keys().all(|what| what == "ok" || is_cut_off(what)), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_restart_and_no_call_that_waits_is_lost() {
    let mut servers: Vec<_> = (0..3).map(|_| Running::start(None)).collect();
    let addresses = servers.iter().map(|server| server.address);
    let balanced = Balanced::list(endpoint(), addresses).wait_for_ready(true).build();
    until(&balanced, 3, State::Ready).await;
    let load = Load::start(&balanced, 16);
    load.go_on(200).await;
    servers.iter_mut().for_each(Running::stop);
    for server in &mut servers {
        server.drain().await;
    }
    until(&balanced, 3, State::TransientFailure).await;
    servers = servers.iter().map(|server| Running::start(Some(server.address))).collect();
    until(&balanced, 3, State::Ready).await;
    load.go_on(200).await;
    let outcomes = load.stop().await;
    assert!(outcomes.keys().all(|what| what == "ok" || is_cut_off(what)), "{outcomes:?}");
    assert!(servers.iter().all(|server| server.calls() > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_costs_only_calls_under_way() {
    const CALLERS: usize = 16;
    let mut servers: Vec<_> = (0..3).map(|_| Running::start(None)).collect();
    let balanced = over(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::start(&balanced, CALLERS);
    load.go_on(200).await;
    servers[0].kill();
    until(&balanced, 1, State::TransientFailure).await;
    load.go_on(500).await;
    let outcomes = load.stop().await;
    let failed: usize = outcomes.iter().filter(|(what, _)| *what != "ok").map(|(_, n)| n).sum();
    assert!(failed <= CALLERS, "at most one of each caller: {outcomes:?}");
    assert!(
        outcomes.keys().all(|what| what == "ok" || what.starts_with("Unavailable")),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn addresses_of_no_use_cost_no_call() {
    let server = Running::start(None);
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

#[tokio::test]
async fn a_host_name_is_resolved() {
    let server = Running::start(None);
    let endpoint = format!("http://localhost:{}", server.address.port());
    let balanced = Balanced::host(Endpoint::from_shared(endpoint).unwrap()).build();
    let mut kinds = KindsClient::new(BoxChannel::new(balanced.clone()));
    kinds.unary(Ask::default()).await.unwrap();
    assert!(balanced.states().contains(&(server.address.into(), State::Ready)));
}

#[tokio::test]
async fn layers_and_interceptors_fit_around_it() {
    let server = Running::start(None);
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
