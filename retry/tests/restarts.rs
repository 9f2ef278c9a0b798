//! A server that is drained and restarted under load, over real sockets.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_call::{BoxChannel, Observer, Rpc, Side};
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KINDS, KindsService, Outcome, ask, listen};
use tonic_retry_layer::{Attempt, AttemptOutcome, RetryHook, RetryLayer, ServiceConfig};
use tower::Layer as _;

const CALLS: usize = 400;
const CALLERS: usize = 16;
const RESTARTS: usize = 5;

/// Counts the calls that have begun.
#[derive(Clone, Default)]
struct Count(Arc<watch::Sender<usize>>);

impl Observer for Count {
    type Call = Begun;

    fn begin(&self, _: Side, _: &Rpc, _: &mut http::request::Parts) -> Option<Begun> {
        self.0.send_modify(|count| *count += 1);
        None
    }
}

struct Begun;

impl tonic_call::Call for Begun {
    fn end(&self, _: tonic_call::End<'_>) {}
}

struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Running {
    fn start(incoming: TcpIncoming, count: &Count) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::builder()
            .layer(tonic_call::ObserveLayer::server(count.clone()))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming_shutdown(incoming, async { stopped.await.unwrap() });
        Self { stop, server: tokio::spawn(async { server.await.unwrap() }) }
    }

    /// Lets running calls end, and closes all connections.
    async fn drain(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap();
    }
}

/// Counts the attempts that are followed by another one.
#[derive(Clone, Default)]
struct Retried(Arc<watch::Sender<usize>>);

impl RetryHook for Retried {
    fn attempt(&self, _: &Rpc, attempt: Attempt) {
        if let AttemptOutcome::Retried(_) = attempt.outcome {
            self.0.send_modify(|count| *count += 1);
        }
    }
}

/// Waits until the count is so high.
async fn until(count: &watch::Sender<usize>, least: usize) {
    let mut count = count.subscribe();
    let wait = count.wait_for(|count| *count >= least);
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_fails_while_a_server_is_drained_and_restarted() {
    let json = r#"{"methodConfig": [{"name": [{}], "waitForReady": true, "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.01s", "maxBackoff": "0.1s",
        "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]
    }}]}"#;
    let retried = Retried::default();
    let layer = RetryLayer::new(&ServiceConfig::from_json(json).unwrap()).hook(retried.clone());
    let (incoming, endpoint) = listen();
    let address: SocketAddr = endpoint.uri().authority().unwrap().as_str().parse().unwrap();
    let count = Count::default();
    let mut running = Running::start(incoming, &count);

    let channel = layer.layer(endpoint.connect_lazy());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut kinds = KindsClient::new(BoxChannel::new(channel.clone()));
        callers.spawn(async move {
            let mut failed = Vec::new();
            for number in 0..CALLS / CALLERS {
                let kind = KINDS[number % KINDS.len()];
                let metadata = [("grpc-timeout", "60S")];
                let ask = ask(Act::Unspecified, 3);
                let outcome = tonic_call_test_kit::call(&mut kinds, kind, ask, &metadata).await;
                if outcome != Outcome::ok(outcome.notes) || outcome.notes == 0 {
                    failed.push((kind, outcome));
                }
            }
            failed
        });
    }
    for restart in 1..=RESTARTS {
        let share = CALLS / (RESTARTS + 1) * restart;
        until(&count.0, share).await;
        running.drain().await;
        // The port is closed until a call has found it so.
        let next = *retried.0.borrow() + 1;
        until(&retried.0, next).await;
        running = Running::start(TcpIncoming::bind(address).unwrap(), &count);
    }
    for failed in callers.join_all().await {
        assert_eq!(failed, []);
    }
    running.drain().await;
    println!("{CALLS} calls, {RESTARTS} restarts, {} attempts retried", *retried.0.borrow());
    assert_eq!(layer.used_bytes(), 0);
}
