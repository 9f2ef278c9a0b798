//! A server that prints each call at its end: a unary call, a stream, and a stream that its caller leaves early.
//!
//! ```sh
//! cargo run -p tonic-call --example call-server
//! ```
//!
//! Prints one line per call: the side, the method, the code, the number of response messages, and the duration.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "print.rs"]
mod print;

use std::error::Error;

use print::Print;
use tonic::transport::Server;
use tonic_call::ObserveLayer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, methods, orders};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, endpoint) = listen();
    let service = Orders::default();
    let server = Server::builder()
        .layer(ObserveLayer::server(Print).methods(&methods()))
        .add_service(OrderServiceServer::new(service.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    client.unary(Ask::default()).await?;

    let three = Ask { notes: 3, ..Ask::default() };
    let mut stream = client.server_stream(three).await?.into_inner();
    while stream.message().await?.is_some() {}

    // The service sends two messages and waits. The caller reads one and leaves.
    let waits = Ask { notes: 2, act: Act::Hang.into(), ..Ask::default() };
    let mut stream = client.server_stream(waits).await?.into_inner();
    stream.message().await?;
    drop(stream);
    service.until_alive(0).await;
    Ok(())
}
