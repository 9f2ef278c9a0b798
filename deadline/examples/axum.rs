//! The layer around tonic's routes, in an axum router that also serves other routes.
//!
//! ```sh
//! cargo run -p tonic-deadline-layer --example deadline-axum
//! ```
//!
//! Prints:
//!
//! ```text
//! unary: DeadlineExceeded: the server's limit of 200ms for this call has passed
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, orders};
use tonic_deadline_layer::{DeadlineLayer, Methods};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
    let deadlines = DeadlineLayer::server().default(Duration::from_millis(200)).methods(&methods);
    // Around the gRPC routes alone: a page that takes long should not be answered with a gRPC status.
    let grpc =
        Routes::new(OrderServiceServer::new(Orders::default())).into_axum_router().layer(deadlines);
    let router = Router::new().route("/version", get(|| async { "1.0" })).merge(grpc);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(axum::serve(listener, router).into_future());

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    let hangs = Ask { act: Act::Hang.into(), ..Ask::default() };
    let status = client.unary(hangs).await.expect_err("it is ended");
    println!("unary: {:?}: {}", status.code(), status.message());
    Ok(())
}
