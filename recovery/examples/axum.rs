//! The layer around tonic's routes, in an axum router that also serves other routes.
//!
//! ```sh
//! cargo run -p tonic-recovery-layer --example recovery-axum
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;

use axum::Router;
use axum::routing::get;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, orders};
use tonic_recovery_layer::{RecoveryLayer, capture_panics_quietly};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    capture_panics_quietly();

    // Around the gRPC routes alone: a page that panics should not be answered with a gRPC status.
    let grpc = Routes::new(OrderServiceServer::new(Orders::default()))
        .into_axum_router()
        .layer(RecoveryLayer::server());
    let router = Router::new().route("/version", get(|| async { "1.0" })).merge(grpc);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(axum::serve(listener, router).into_future());

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    let panics = Ask { act: Act::Panic.into(), ..Ask::default() };
    let status = client.unary(panics).await.expect_err("the handler panics");
    println!("unary: {status}");
    Ok(())
}
