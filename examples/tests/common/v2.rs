//! Requests of `orders.v2`, and clients of a server that runs in its own process.

use futures_util::stream;
use orders::v2::order_service_client::OrderServiceClient;
use orders::v2::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ImportOrdersRequest,
    ListOrdersRequest, Money, NewOrder, QuoteOrdersRequest, WatchOrderRequest,
};
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

#[cfg(unix)]
use super::client::{Sends, channel, sends};
#[cfg(unix)]
use super::process::Served;

pub fn euros(units: i64, nanos: i32) -> Money {
    Money { currency_code: "EUR".to_owned(), units, nanos }
}

pub fn order(email: &str, total: Money) -> CreateOrderRequest {
    let order = NewOrder { customer_email: email.to_owned(), total: Some(total) };
    CreateOrderRequest { order: Some(order), idempotency_key: None }
}

pub fn get(id: &str) -> GetOrderRequest {
    GetOrderRequest { order_id: id.to_owned() }
}

#[cfg(unix)]
pub type Client = OrderServiceClient<InterceptedService<Channel, Sends>>;

/// A client that sends this metadata with each call.
#[cfg(unix)]
pub async fn client(served: &Served, metadata: &[(&'static str, &str)]) -> Client {
    OrderServiceClient::with_interceptor(channel(served).await, sends(metadata))
}

#[cfg(unix)]
pub async fn with_token(served: &Served, token: &str) -> Client {
    client(served, &[("authorization", &format!("Bearer {token}"))]).await
}

/// The result of each method.
#[cfg(unix)]
pub async fn each(mut client: Client) -> Vec<(&'static str, Result<(), Status>)> {
    let order_id = || "x".to_owned();
    let watch = WatchOrderRequest { order_id: order_id() };
    let advance = AdvanceOrderRequest { order_id: order_id(), stage: 2 };
    let import = stream::iter([ImportOrdersRequest::default()]);
    let quote = stream::iter([QuoteOrdersRequest::default()]);
    let list = ListOrdersRequest::default();
    vec![
        ("CreateOrder", client.create_order(order("ann@example.org", euros(1, 0))).await.map(drop)),
        ("GetOrder", client.get_order(get("x")).await.map(drop)),
        ("ListOrders", client.list_orders(list).await.map(drop)),
        ("WatchOrder", client.watch_order(watch).await.map(drop)),
        ("AdvanceOrder", client.advance_order(advance).await.map(drop)),
        ("ImportOrders", client.import_orders(import).await.map(drop)),
        ("QuoteOrders", client.quote_orders(quote).await.map(drop)),
    ]
}
