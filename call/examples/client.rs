//! A client in a struct, with a layer that prints each call.
//!
//! ```sh
//! cargo run -p tonic-call --example call-client
//! ```
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "print.rs"]
mod print;

use std::error::Error;

use print::Print;
use tonic::transport::{Endpoint, Server};
use tonic_call::{BoxChannel, ObserveLayer};
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen, orders};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(endpoint: &Endpoint) -> Self {
        let channel = ServiceBuilder::new()
            .layer(ObserveLayer::client(Print))
            .service(endpoint.connect_lazy());
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, endpoint) = listen();
    let server = Server::builder().add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut billing = Billing::new(&endpoint);
    billing.orders.unary(Ask::default()).await?;
    let fails = Ask { act: Act::Fail.into(), code: tonic::Code::NotFound.into(), ..Ask::default() };
    billing.orders.unary(fails).await.expect_err("the service was asked to fail");
    Ok(())
}
