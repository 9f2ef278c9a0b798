//! A client in a struct, whose calls have deadlines: its own, and that of the call that is being served.
//!
//! ```sh
//! cargo run -p tonic-deadline-layer --example deadline-client
//! ```
//!
//! Prints:
//!
//! ```text
//! a unary call: DeadlineExceeded: the client's limit of 200ms for this call has passed
//! a stream, as a part of another call: DeadlineExceeded: the deadline of the inbound call has passed
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use tonic::transport::{Endpoint, Server};
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_deadline_layer::{BoxChannel, Deadline, DeadlineLayer, Methods};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(endpoint: &Endpoint, methods: &Methods) -> Self {
        let deadlines = DeadlineLayer::client(Duration::from_millis(200)).methods(methods);
        let channel = ServiceBuilder::new().layer(deadlines).service(endpoint.connect_lazy());
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, endpoint) = listen();
    let server = Server::builder().add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
    let mut billing = Billing::new(&endpoint, &methods);
    let hangs = Ask { act: Act::Hang.into(), ..Ask::default() };
    let status = billing.orders.unary(hangs.clone()).await.expect_err("it is ended");
    println!("a unary call: {:?}: {}", status.code(), status.message());

    // In a handler the server's layer makes this scope. A stream has no limit of its own here.
    let inbound = Deadline::after(Duration::from_millis(100));
    let mut stream = billing.orders.clone();
    let call = async { stream.server_stream(hangs).await?.into_inner().message().await };
    let status = Deadline::scope(inbound, call).await.expect_err("it is ended");
    println!("a stream, as a part of another call: {:?}: {}", status.code(), status.message());
    Ok(())
}
