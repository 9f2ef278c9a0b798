//! A client in a struct that sends a token with each call.
//!
//! ```sh
//! cargo run -p tonic-auth-layer --example auth-client
//! ```
//!
//! Prints the status without and with the layer, and the error for an endpoint without TLS.
#![allow(clippy::print_stdout)]

use std::error::Error;

use tonic::transport::{Channel, Server};
use tonic_auth_layer::{
    AuthLayer, BearerToken, BoxChannel, CredentialsLayer, Identity, authenticate_fn,
};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(channel: Channel, layer: CredentialsLayer) -> Self {
        let channel = ServiceBuilder::new().layer(layer).service(channel);
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let by_token = authenticate_fn(|call| {
        let token = call.bearer()?;
        Ok(token.filter(|token| *token == "open-sesame").map(|_| Identity::new("demo")))
    });
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .layer(AuthLayer::new(by_token).build()?)
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut plain = OrderServiceClient::new(endpoint.connect_lazy());
    let status = plain.unary(Ask::default()).await.expect_err("there is no token");
    println!("without the layer: {:?}: {}", status.code(), status.message());

    // `BearerToken` is a fixed token; `TokenFile` reads one that is renewed.
    let token = BearerToken::new("open-sesame")?;
    let error = CredentialsLayer::bearer(token.clone()).to(&endpoint).expect_err("there is no TLS");
    println!("without TLS: {error}");

    let layer = CredentialsLayer::bearer(token).allow_unencrypted(); // only loopback
    let mut billing = Billing::new(endpoint.connect_lazy(), layer);
    billing.orders.unary(Ask::default()).await?;
    println!("with the layer: OK");
    Ok(())
}
