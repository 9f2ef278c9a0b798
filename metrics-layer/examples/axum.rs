//! An axum router with gRPC routes behind the layer, and `/metrics` on the same address. It calls itself, then exits.
//!
//! ```sh
//! cargo run -p tonic-metrics-layer --example metrics-axum
//! ```
//!
//! It prints the handled gRPC call. Requests of `/metrics` are not counted.
#![allow(clippy::print_stdout)]

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call_test_kit::Orders;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::Ask;
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::{self, Prometheus};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scrape = Prometheus::new().install()?;

    let grpc = Routes::new(OrderServiceServer::new(Orders::default()))
        .into_axum_router()
        .layer(MetricsLayer::server());
    let page = scrape.clone();
    let metrics = get(async move || ([(CONTENT_TYPE, exporter::CONTENT_TYPE)], page.render()));
    let router = Router::new().route("/metrics", metrics).merge(grpc);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    orders.unary(Ask::default()).await?;

    let text = scrape.render();
    let handled = text.lines().filter(|line| line.starts_with("grpc_server_handled_total"));
    handled.for_each(|line| println!("{line}"));
    Ok(())
}
