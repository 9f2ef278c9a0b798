//! A client in a struct, which logs the calls that it makes. It calls a server in the same process, then exits.
//!
//! ```sh
//! cargo run -p tonic-logging-layer --example logging-client
//! ```
//!
//! It prints one line for each call: `OK` at `DEBUG`, and `UNAVAILABLE` at `WARN`.

use tonic::transport::{Channel, Endpoint, Server};
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen};
use tonic_logging_layer::{BoxChannel, LoggingLayer};
use tower::ServiceBuilder;

/// `BoxChannel` names the type of a layered client.
struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(channel: Channel) -> Self {
        let channel = ServiceBuilder::new().layer(LoggingLayer::client()).service(channel);
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter("tonic_logging_layer=debug").init();

    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    Billing::new(endpoint.connect_lazy()).orders.unary(Ask::default()).await?;

    let nobody_listens = Endpoint::from_static("http://127.0.0.1:1");
    let _ = Billing::new(nobody_listens.connect_lazy()).orders.unary(Ask::default()).await;
    Ok(())
}
