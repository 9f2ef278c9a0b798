//! Real servers on loopback, and balancers over them.
// Not every test uses all of it.
#![allow(dead_code, unreachable_pub)]

pub mod load;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic_balance::{Balanced, State};
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::kinds_server::KindsServer;

/// A server with a runtime of its own, so that killing it is killing it.
pub struct Running {
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), tonic::transport::Error>>>,
}

impl Running {
    /// Starts on a free port.
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let incoming = bind(address);
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

    /// This number of servers.
    pub fn start_many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::start()).collect()
    }

    /// The calls since the last time.
    pub fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }

    /// Begins to drain it.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Drains it, and waits for its last call: the end of its runtime would cut calls off.
    pub async fn drain(&mut self) {
        self.stop();
        self.task.take().unwrap().await.unwrap().unwrap();
    }

    /// Ends it at once, with its connections and its running calls.
    pub fn kill(&mut self) {
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

/// A server that was killed may still have its port for a moment.
fn bind(address: SocketAddr) -> TcpIncoming {
    loop {
        match TcpIncoming::bind(address) {
            Ok(incoming) => return incoming,
            Err(error) if error.kind() == ErrorKind::AddrInUse => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn endpoint() -> Endpoint {
    Endpoint::from_static("http://orders.svc:50051")
}

pub fn over(servers: &[Running]) -> Balanced {
    Balanced::list(endpoint(), servers.iter().map(|server| server.address)).build()
}

/// Waits until this number of addresses is in this state.
pub async fn until(balanced: &Balanced, count: usize, state: State) {
    let reached = async {
        while balanced.states().iter().filter(|(_, now)| *now == state).count() != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the states are reached");
}

/// The address of a port on which nobody listens.
pub async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
