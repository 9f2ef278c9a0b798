//! Clients of a server that runs in its own process.

use futures_util::stream;
use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, QuoteRequest,
    WatchOrderRequest,
};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::order;
use super::process::Served;

pub type Sends = Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send>;

pub type Client = OrderServiceClient<InterceptedService<Channel, Sends>>;

/// A client that sends this metadata with each call.
pub async fn client(served: &Served, metadata: &[(&'static str, &str)]) -> Client {
    OrderServiceClient::with_interceptor(channel(served).await, sends(metadata))
}

/// Sends this metadata with each call.
pub fn sends(metadata: &[(&'static str, &str)]) -> Sends {
    let metadata: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (*key, value.parse::<tonic::metadata::AsciiMetadataValue>()))
        .map(|(key, value)| (key, value.expect("ASCII")))
        .collect();
    let sends = move |mut request: Request<()>| {
        for (key, value) in &metadata {
            request.metadata_mut().insert(*key, value.clone());
        }
        Ok(request)
    };
    Box::new(sends)
}

pub async fn with_token(served: &Served, token: &str) -> Client {
    client(served, &[("authorization", &format!("Bearer {token}"))]).await
}

pub async fn channel(served: &Served) -> Channel {
    let endpoint = Endpoint::from_shared(served.url()).expect("a URL");
    endpoint.connect().await.expect("a connection")
}

/// The result of each method.
pub async fn each(mut client: Client) -> Vec<(&'static str, Result<(), Status>)> {
    let id = || "x".to_owned();
    let quote = QuoteRequest::default();
    let (get, watch) = (GetOrderRequest { id: id() }, WatchOrderRequest { id: id() });
    let advance = AdvanceOrderRequest { id: id(), stage: 1 };
    let list = ListOrdersRequest::default();
    vec![
        ("CreateOrder", client.create_order(order("ann@example.org", 1)).await.map(drop)),
        ("GetOrder", client.get_order(get).await.map(drop)),
        ("ListOrders", client.list_orders(list).await.map(drop)),
        ("WatchOrder", client.watch_order(watch).await.map(drop)),
        ("AdvanceOrder", client.advance_order(advance).await.map(drop)),
        (
            "ImportOrders",
            client.import_orders(stream::iter([CreateOrderRequest::default()])).await.map(drop),
        ),
        ("QuoteOrders", client.quote_orders(stream::iter([quote])).await.map(drop)),
    ]
}
