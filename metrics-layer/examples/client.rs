//! A client in a struct, which counts the calls that it makes. It calls a server in the same process, then exits.
//!
//! ```sh
//! cargo run -p tonic-metrics-layer --example metrics-client
//! ```
//!
//! It prints the handled calls: one `OK` and one `Unavailable`.
#![allow(clippy::print_stdout)]

use tonic::transport::{Channel, Endpoint, Server};
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen};
use tonic_metrics_layer::exporter::Prometheus;
use tonic_metrics_layer::{BoxChannel, MetricsLayer};
use tower::ServiceBuilder;

/// `BoxChannel` names the type of a layered client.
struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(channel: Channel) -> Self {
        let channel = ServiceBuilder::new().layer(MetricsLayer::client()).service(channel);
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scrape = Prometheus::new().install()?;

    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    Billing::new(endpoint.connect_lazy()).orders.unary(Ask::default()).await?;

    let nobody_listens = Endpoint::from_static("http://127.0.0.1:1");
    let _ = Billing::new(nobody_listens.connect_lazy()).orders.unary(Ask::default()).await;

    let text = scrape.render();
    let handled = text.lines().filter(|line| line.starts_with("grpc_client_handled_total"));
    handled.for_each(|line| println!("{line}"));
    Ok(())
}
