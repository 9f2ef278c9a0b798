use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_balance::{Address, Balanced, State};
use tonic_call::BoxError;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tower::Service;

/// Makes this many calls, by this many concurrent callers.
type Calls = Box<dyn Fn(usize, usize) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A way to spread calls over addresses.
pub struct Channels {
    /// The name of the client.
    pub name: &'static str,
    calls: Calls,
}

impl Channels {
    /// The clients that are compared.
    pub const NAMES: [&'static str; 4] =
        ["a bare channel", "bare channels in turn", "balance_list", "tonic-balance"];
    /// The place among them of round robin without a balancer.
    pub const IN_TURN: usize = 1;
    /// The place of tonic's balancer among them.
    pub const BALANCE_LIST: usize = 2;

    /// One client of each kind.
    pub async fn all(servers: &[Endpoint]) -> Vec<Self> {
        let mut all = Vec::new();
        for name in Self::NAMES {
            all.push(Self::of(name, servers).await);
        }
        all
    }

    /// The client with this name.
    ///
    /// # Panics
    ///
    /// If a server cannot be connected to, or if there is no such client.
    pub async fn of(name: &'static str, servers: &[Endpoint]) -> Self {
        match name {
            "a bare channel" => Self::new(name, InTurn::over(&servers[..1]).await),
            "bare channels in turn" => Self::new(name, InTurn::over(servers).await),
            "balance_list" => Self::new(name, Channel::balance_list(servers.iter().cloned())),
            "tonic-balance" => Self::new(name, connected(servers).await),
            _ => panic!("there is no client {name}"),
        }
    }

    fn new<T>(name: &'static str, channel: T) -> Self
    where
        T: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
        T::Error: Into<BoxError>,
        T::Future: Send,
    {
        let client = KindsClient::new(channel);
        let calls = move |calls: usize, callers: usize| -> Pin<Box<dyn Future<Output = ()>>> {
            let mut tasks = JoinSet::new();
            for _ in 0..callers {
                let mut client = client.clone();
                tasks.spawn(async move {
                    for _ in 0..calls / callers {
                        client.unary(Ask::default()).await.expect("it answers");
                    }
                });
            }
            Box::pin(async move { drop(tasks.join_all().await) })
        };
        Self { name, calls: Box::new(calls) }
    }

    /// Makes this many calls, by this many concurrent callers.
    pub async fn call(&self, calls: usize, callers: usize) {
        (self.calls)(calls, callers).await;
    }
}

/// A channel for each server, the next one for each call, and nothing else: what any round robin costs.
#[derive(Clone)]
struct InTurn {
    channels: Vec<Channel>,
    next: Arc<AtomicUsize>,
    /// The one that is ready.
    turn: Option<usize>,
}

impl InTurn {
    async fn over(servers: &[Endpoint]) -> Self {
        let mut channels = Vec::new();
        for server in servers {
            channels.push(server.connect().await.expect("it listens"));
        }
        Self { channels, next: Arc::default(), turn: None }
    }
}

impl Service<Request<Body>> for InTurn {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let turn = *self
            .turn
            .get_or_insert_with(|| self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len());
        self.channels[turn].poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let turn = self.turn.take().expect("it is ready");
        self.channels[turn].call(request)
    }
}

/// A balancer of this workspace whose addresses are all connected.
async fn connected(servers: &[Endpoint]) -> Balanced {
    let addresses = servers.iter().map(|server| Address::from(address(server)));
    let balanced = Balanced::list(servers[0].clone(), addresses).build();
    while balanced.states().iter().any(|(_, state)| *state != State::Ready)
        || balanced.states().len() < servers.len()
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    balanced
}

fn address(server: &Endpoint) -> SocketAddr {
    let authority = server.uri().authority().expect("a server has an address");
    authority.as_str().parse().expect("it listens on an IP address")
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("name", &self.name).finish_non_exhaustive()
    }
}
