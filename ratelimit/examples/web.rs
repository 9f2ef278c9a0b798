//! The layer with tonic-web: the caller uses gRPC-Web over HTTP/1.1, as a browser does.
//!
//! ```sh
//! cargo run -p tonic-ratelimit-layer --example ratelimit-web
//! ```
//!
//! Prints how two calls end: the second is refused, in gRPC-Web.
#![allow(clippy::print_stdout)]

use std::error::Error;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::transport::Server;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_ratelimit_layer::{Key, Quota, RateLimitLayer};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limits = RateLimitLayer::server(Quota::per_minute(1).by(Key::peer())).build()?;
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .accept_http1(true)
        .layer(limits) // a CORS layer goes before it
        .layer(GrpcWebLayer::new())
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let http = Client::builder(TokioExecutor::new()).build_http();
    let channel = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http);
    let mut client = OrderServiceClient::with_origin(channel, endpoint.uri().clone());
    client.unary(Ask::default()).await?;
    let status = client.unary(Ask::default()).await.expect_err("the quota is used up");
    println!("second call, over gRPC-Web: {status}");
    Ok(())
}
