//! A server whose handlers panic, before the answer and in the middle of a stream.
//!
//! ```sh
//! cargo run -p tonic-recovery-layer --example recovery-server
//! ```
//!
//! Prints one `ERROR` event per panic, and what the caller receives: the messages sent before the panic, then
//! `INTERNAL`.
#![allow(clippy::print_stdout)]

use std::error::Error;

use tokio_stream::StreamExt as _;
use tonic::transport::Server;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_recovery_layer::{RecoveryLayer, capture_panics_quietly};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    capture_panics_quietly();

    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .layer(RecoveryLayer::server())
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());

    // This service does what each request asks for: here it panics.
    let panics = Ask { act: Act::Panic.into(), ..Ask::default() };
    let status = client.unary(panics).await.expect_err("the handler panics");
    println!("unary: {status}");

    let panics_later = Ask { act: Act::Panic.into(), notes: 5_000, ..Ask::default() };
    let mut stream = client.server_stream(panics_later).await?.into_inner();
    let mut received = 0;
    while let Some(message) = stream.next().await {
        match message {
            Ok(_) => received += 1,
            Err(status) => println!("stream: {received} messages, then {status}"),
        }
    }

    client.unary(Ask::default()).await?;
    println!("the connection still serves calls");
    Ok(())
}
