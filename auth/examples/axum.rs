//! The layer around tonic's routes in an axum router that serves other routes too.
//!
//! ```sh
//! cargo run -p tonic-auth-layer --example auth-axum
//! ```
//!
//! Prints the status of a gRPC call without and with an API key.
#![allow(clippy::print_stdout)]

use std::error::Error;

use axum::Router;
use axum::routing::get;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_auth_layer::{ApiKeys, AuthLayer, Identity};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, orders};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

const API_KEY: &str = "2f1e6cb6a9f44dd2a1b95f47a0a7ce5d";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let billing = Identity::new("api_key").with_subject("billing");
    let keys = ApiKeys::new().key(API_KEY, billing)?;

    // Around the gRPC routes alone: all other paths would be refused.
    let grpc = Routes::new(OrderServiceServer::new(Orders::default()))
        .into_axum_router()
        .layer(AuthLayer::new(keys).build()?);
    let router = Router::new().route("/version", get(|| async { "1.0" })).merge(grpc);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(axum::serve(listener, router).into_future());

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    let status = client.unary(Ask::default()).await.expect_err("there is no key");
    println!("without a key: {:?}: {}", status.code(), status.message());

    let mut request = tonic::Request::new(Ask::default());
    request.metadata_mut().insert("x-api-key", API_KEY.parse()?);
    client.unary(request).await?;
    println!("with the key: OK");
    Ok(())
}
