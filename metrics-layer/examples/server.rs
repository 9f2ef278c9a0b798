//! A tonic server that counts its calls. It calls itself twice, then exits.
//!
//! ```sh
//! cargo run -p tonic-metrics-layer --example metrics-server
//! ```
//!
//! It prints the handled calls: one `OK` and one `NotFound`.
#![allow(clippy::print_stdout)]

use tonic::transport::Server;
use tonic_call_test_kit::orders::FILE_DESCRIPTOR_SET;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen};
use tonic_metrics_layer::exporter::Prometheus;
use tonic_metrics_layer::{Methods, MetricsLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A service would also spawn `scrape.serve(listener)`, which answers `GET /metrics`.
    let scrape = Prometheus::new().install()?;

    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .layer(MetricsLayer::server().methods(&methods))
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    orders.unary(Ask::default()).await?;
    let not_found = Ask { act: Act::Fail.into(), code: 5, ..Ask::default() };
    let _ = orders.unary(not_found).await; // counted as NotFound

    let text = scrape.render();
    let handled = text.lines().filter(|line| line.starts_with("grpc_server_handled_total"));
    handled.filter(|line| !line.ends_with(" 0")).for_each(|line| println!("{line}"));
    Ok(())
}
