//! A server in this process, on a real socket.

use std::net::SocketAddr;
use std::time::Duration;

use orders::auth::Callers;
use orders::connections::ConnectionLimits;
use orders::deadlines::Deadlines;
use orders::drain::{Drain, Drained, Signal};
use orders::faults::Faults;
use orders::limits::CallLimits;
use orders::serve::{Health, ServerConfig};
use orders::service::Orders;
use orders::store::{Database, Store};
use orders::tls::Tls;
use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{CreateOrderRequest, Order};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

pub struct Server {
    pub address: SocketAddr,
    pub client: OrderServiceClient<Channel>,
    pub signals: mpsc::UnboundedSender<Signal>,
    ended: JoinHandle<Drained>,
}

const TWENTY_SECONDS: Duration = Duration::from_secs(20);

pub fn drain(delay: Duration, limit: Duration) -> Drain {
    Drain::new(Some(delay), limit).expect("a delay within the limit")
}

impl Server {
    pub async fn start() -> Self {
        Self::with_faults(Faults::Disabled).await
    }

    pub async fn with_faults(faults: Faults) -> Self {
        let store = Store::open(&Database::Memory).await.expect("a store");
        Self::serve(Orders::new(store, faults), drain(Duration::ZERO, TWENTY_SECONDS)).await
    }

    pub async fn with_store(store: Store) -> Self {
        let drain = drain(Duration::ZERO, TWENTY_SECONDS);
        Self::serve(Orders::new(store, Faults::Disabled), drain).await
    }

    pub async fn with_drain(drain: Drain) -> Self {
        let store = Store::open(&Database::Memory).await.expect("a store");
        Self::serve(Orders::new(store, Faults::Disabled), drain).await
    }

    pub async fn with_connections(connections: ConnectionLimits) -> Self {
        Self::with_tls(connections, None).await
    }

    pub async fn with_tls(connections: ConnectionLimits, tls: Option<Tls>) -> Self {
        let store = Store::open(&Database::Memory).await.expect("a store");
        let drain = drain(Duration::ZERO, TWENTY_SECONDS);
        let config = ServerConfig {
            limits: CallLimits::none(),
            limit_file: None,
            redis_ready: false,
            deadlines: Deadlines::of_callers(),
            connections,
            tls,
            drain,
            metrics: false,
            cors: Vec::new(),
            web: false,
        };
        Self::serve_with(Orders::new(store, Faults::Disabled), config).await
    }

    async fn serve(orders: Orders, drain: Drain) -> Self {
        let connections = ConnectionLimits::default();
        Self::serve_with(
            orders,
            ServerConfig {
                limits: CallLimits::none(),
                limit_file: None,
                redis_ready: false,
                deadlines: Deadlines::of_callers(),
                connections,
                tls: None,
                drain,
                metrics: false,
                cors: Vec::new(),
                web: false,
            },
        )
        .await
    }

    async fn serve_with(orders: Orders, config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (signals, received) = mpsc::unbounded_channel();
        let ended = tokio::spawn(async move {
            let health = Health::starting().await;
            orders::serve::serve(
                listener,
                orders,
                health,
                Callers::anyone(),
                config,
                received,
                None,
            )
            .await
            .expect("serves")
        });
        Self { address, client: OrderServiceClient::new(channel(address).await), signals, ended }
    }

    /// A new connection.
    pub async fn channel(&self) -> Channel {
        channel(self.address).await
    }

    pub async fn create(&self, request: CreateOrderRequest) -> Order {
        let created = self.client.clone().create_order(request).await;
        created.expect("an order").into_inner()
    }

    pub fn signal(&self, signal: Signal) {
        self.signals.send(signal).expect("the server is there");
    }

    pub async fn ended(self) -> Drained {
        // A client that is not dropped would keep its connection open.
        drop(self.client);
        super::soon(self.ended).await.expect("no panic")
    }
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    endpoint.connect().await.expect("a connection")
}
