//! The layer with tonic-web: the caller speaks gRPC-Web over HTTP/1.1, as a browser does.
//!
//! ```sh
//! cargo run -p tonic-auth-layer --example auth-web
//! ```
//!
//! Prints the status of a gRPC-Web call without and with an API key.
#![allow(clippy::print_stdout)]

use std::error::Error;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::transport::Server;
use tonic_auth_layer::{ApiKeys, AuthLayer, Identity};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

const API_KEY: &str = "2f1e6cb6a9f44dd2a1b95f47a0a7ce5d";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let billing = Identity::new("api_key").with_subject("billing");
    let keys = ApiKeys::new().key(API_KEY, billing)?;
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .accept_http1(true)
        .layer(AuthLayer::new(keys).build()?) // a CORS layer goes before it
        .layer(GrpcWebLayer::new())
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let http = Client::builder(TokioExecutor::new()).build_http();
    let channel = ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(http);
    let mut client = OrderServiceClient::with_origin(channel, endpoint.uri().clone());
    let status = client.unary(Ask::default()).await.expect_err("there is no key");
    println!("without a key: {:?}: {}", status.code(), status.message());

    let mut request = tonic::Request::new(Ask::default());
    request.metadata_mut().insert("x-api-key", API_KEY.parse()?);
    client.unary(request).await?;
    println!("with the key: OK, over gRPC-Web");
    Ok(())
}
