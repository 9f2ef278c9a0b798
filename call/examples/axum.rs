//! The layer around tonic's routes, in an axum router that also serves other routes.
//!
//! ```sh
//! cargo run -p tonic-call --example call-axum
//! ```
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "print.rs"]
mod print;

use std::error::Error;

use axum::Router;
use axum::routing::get;
use print::Print;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call::ObserveLayer;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, orders};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let grpc = Routes::new(OrderServiceServer::new(Orders::default()))
        .into_axum_router()
        .layer(ObserveLayer::server(Print));
    let router = Router::new().route("/version", get(|| async { "1.0" })).merge(grpc);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(axum::serve(listener, router).into_future());

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    client.unary(Ask::default()).await?;
    Ok(())
}
