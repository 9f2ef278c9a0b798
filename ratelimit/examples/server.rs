//! A server that allows each address two calls in a burst, and one watch at a time.
//!
//! ```sh
//! cargo run -p tonic-ratelimit-layer --example ratelimit-server
//! ```
//!
//! Prints how each call ends, and when a refused caller can retry.
#![allow(clippy::print_stdout)]

use std::error::Error;

use tonic::transport::Server;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_ratelimit_layer::{InFlight, Key, Methods, Quota, RateLimitLayer};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
    // The example service is `Kinds` of the test kit, under another name in Rust.
    let limits = RateLimitLayer::server(Quota::per_second(5).burst(2).by(Key::peer()))
        .method("test.v1.Kinds", "ServerStream", InFlight::new(1).by(Key::peer()))
        .methods(&methods)
        .on_decision(|decision| println!("  {}: {}", decision.limit(), decision.result()))
        .build()?;

    let (incoming, endpoint) = listen();
    let server =
        Server::builder().layer(limits).add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    for call in 1..=3 {
        match client.unary(Ask::default()).await {
            Ok(_) => println!("call {call}: passed"),
            Err(status) => {
                let retry = status.metadata().get("grpc-retry-pushback-ms");
                println!("call {call}: {}, retry in ms: {retry:?}", status.message());
            }
        }
    }

    // This service does what each request asks for: here its stream stays open.
    let hangs = Ask { act: Act::Hang.into(), ..Ask::default() };
    let watch = client.server_stream(hangs).await?;
    let status = client.server_stream(Ask::default()).await.expect_err("one watch is open");
    println!("second watch: {}", status.message());
    drop(watch);
    Ok(())
}
