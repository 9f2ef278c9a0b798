//! A server that ends calls at its own limits.
//!
//! ```sh
//! cargo run -p tonic-deadline-layer --example deadline-server
//! ```
//!
//! Prints:
//!
//! ```text
//! unary: DeadlineExceeded: the server's limit of 200ms for this call has passed
//! stream: 2 messages, then DeadlineExceeded: the server's limit of 300ms for this call has passed
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use tokio_stream::StreamExt as _;
use tonic::transport::Server;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_deadline_layer::{DeadlineLayer, Methods};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
    let deadlines = DeadlineLayer::server()
        .default(Duration::from_millis(200))
        .stream_cap(Duration::from_millis(300))
        .methods(&methods);
    let (incoming, endpoint) = listen();
    let server =
        Server::builder().layer(deadlines).add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());

    // This service does what each request asks for: here it sends two messages and then never ends.
    let hangs = Ask { act: Act::Hang.into(), notes: 2, ..Ask::default() };
    let status = client.unary(hangs.clone()).await.expect_err("it is ended");
    println!("unary: {:?}: {}", status.code(), status.message());

    let mut stream = client.server_stream(hangs).await?.into_inner();
    let mut received = 0;
    while let Some(message) = stream.next().await {
        match message {
            Ok(_) => received += 1,
            Err(status) => println!(
                "stream: {received} messages, then {:?}: {}",
                status.code(),
                status.message()
            ),
        }
    }
    Ok(())
}
