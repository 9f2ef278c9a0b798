//! The layer with tonic-web: the caller speaks gRPC-Web over HTTP/1.1, as a browser does.
//!
//! ```sh
//! cargo run -p tonic-deadline-layer --example deadline-web
//! ```
//!
//! Prints:
//!
//! ```text
//! stream, over gRPC-Web: 2 messages, then DeadlineExceeded: the caller's deadline has passed
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio_stream::StreamExt as _;
use tonic::Request;
use tonic::transport::Server;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_deadline_layer::DeadlineLayer;
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .accept_http1(true)
        .layer(DeadlineLayer::server()) // or inside `GrpcWebLayer`: both work
        .layer(GrpcWebLayer::new())
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let http = Client::builder(TokioExecutor::new()).build_http();
    let channel = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http);
    let mut client = OrderServiceClient::with_origin(channel, endpoint.uri().clone());

    // The server sends two messages and never ends by itself. The deadline travels in the request.
    let mut request = Request::new(Ask { act: Act::Hang.into(), notes: 2, ..Ask::default() });
    request.set_timeout(Duration::from_millis(200));
    let mut stream = client.server_stream(request).await?.into_inner();
    let mut received = 0;
    while let Some(message) = stream.next().await {
        match message {
            Ok(_) => received += 1,
            Err(status) => println!(
                "stream, over gRPC-Web: {received} messages, then {:?}: {}",
                status.code(),
                status.message()
            ),
        }
    }
    Ok(())
}
