//! A tonic server that logs each call. It calls itself twice, then exits.
//!
//! ```sh
//! cargo run -p tonic-logging-layer --example logging-server
//! ```
//!
//! It prints one line of JSON for each call: `OK` with three response messages, and `NOT_FOUND`.

use tonic::transport::Server;
use tonic_call_test_kit::orders::FILE_DESCRIPTOR_SET;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen};
use tonic_logging_layer::{LoggingLayer, Methods};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().json().flatten_event(true).init();

    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .layer(LoggingLayer::server().methods(&methods))
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    let mut stream = orders.server_stream(Ask { notes: 3, ..Ask::default() }).await?.into_inner();
    while stream.message().await?.is_some() {}
    let not_found = Ask { act: Act::Fail.into(), code: 5, ..Ask::default() };
    let _ = orders.unary(not_found).await; // logged as NOT_FOUND
    Ok(())
}
