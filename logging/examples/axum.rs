//! An axum router with a page and gRPC routes. Only the gRPC routes have the layer. It calls itself, then exits.
//!
//! ```sh
//! cargo run -p tonic-logging-layer --example logging-axum
//! ```
//!
//! It prints one line of JSON, for the gRPC call.

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call_test_kit::Orders;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::Ask;
use tonic_logging_layer::LoggingLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().json().flatten_event(true).init();

    let grpc = Routes::new(OrderServiceServer::new(Orders::default()))
        .into_axum_router()
        .layer(LoggingLayer::server());
    let router = Router::new().route("/page", get(async || "hello")).merge(grpc);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    orders.unary(Ask::default()).await?;
    Ok(())
}
