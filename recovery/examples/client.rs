//! A client in a struct, which recovers panics in its layers and request streams.
//!
//! ```sh
//! cargo run -p tonic-recovery-layer --example recovery-client
//! ```
//!
//! Without the layer a panic in a request stream would end every call on its connection.
#![allow(clippy::print_stdout)]

use std::error::Error;

use tokio_stream::StreamExt as _;
use tonic::transport::{Endpoint, Server};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_recovery_layer::{BoxChannel, RecoveryLayer, capture_panics_quietly};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(endpoint: &Endpoint) -> Self {
        let channel =
            ServiceBuilder::new().layer(RecoveryLayer::client()).service(endpoint.connect_lazy());
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    capture_panics_quietly();
    let (incoming, endpoint) = listen();
    let server = Server::builder().add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut billing = Billing::new(&endpoint);
    let panics =
        tokio_stream::iter([1, 0]).map(|divisor| Ask { notes: 1 / divisor, ..Ask::default() });
    let status = billing.orders.client_stream(panics).await.expect_err("the stream panics");
    println!("the stream of requests panics: {status}");

    billing.orders.unary(Ask::default()).await?;
    println!("the connection still carries calls");
    Ok(())
}
