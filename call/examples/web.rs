//! The layer with tonic-web: the caller speaks gRPC-Web over HTTP/1.1, as a browser does.
//!
//! ```sh
//! cargo run -p tonic-call --example call-web
//! ```
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "print.rs"]
mod print;

use std::error::Error;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use print::Print;
use tonic::transport::Server;
use tonic_call::ObserveLayer;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .accept_http1(true)
        .layer(ObserveLayer::server(Print)) // or inside `GrpcWebLayer`: both work
        .layer(GrpcWebLayer::new())
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let http = Client::builder(TokioExecutor::new()).build_http();
    let channel = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http);
    let mut client = OrderServiceClient::with_origin(channel, endpoint.uri().clone());
    let mut stream = client.server_stream(Ask { notes: 3, ..Ask::default() }).await?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(())
}
