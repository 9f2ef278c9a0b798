//! The layer with tonic-web: the caller speaks gRPC-Web over HTTP/1.1, as a browser does.
//!
//! ```sh
//! cargo run -p tonic-recovery-layer --example recovery-web
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::transport::Server;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_recovery_layer::{RecoveryLayer, capture_panics_quietly};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    capture_panics_quietly();
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .accept_http1(true)
        .layer(RecoveryLayer::server()) // or inside `GrpcWebLayer`: both work
        .layer(GrpcWebLayer::new())
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let http = Client::builder(TokioExecutor::new()).build_http();
    let channel = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http);
    let mut client = OrderServiceClient::with_origin(channel, endpoint.uri().clone());
    let panics = Ask { act: Act::Panic.into(), ..Ask::default() };
    let status = client.unary(panics).await.expect_err("the handler panics");
    println!("unary, over gRPC-Web: {status}");
    Ok(())
}
