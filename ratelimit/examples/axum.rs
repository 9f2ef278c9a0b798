//! The layer around tonic's routes in an axum router that serves other routes too.
//!
//! ```sh
//! cargo run -p tonic-ratelimit-layer --example ratelimit-axum --features axum
//! ```
//!
//! Prints how two calls from one address end: the second is refused. The other route is not limited.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, orders};
use tonic_ratelimit_layer::{Key, Quota, RateLimitLayer};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limits = RateLimitLayer::server(Quota::per_minute(1).by(Key::peer())).build()?;
    let grpc =
        Routes::new(OrderServiceServer::new(Orders::default())).into_axum_router().layer(limits);
    let router = Router::new().route("/version", get(|| async { "1.0" })).merge(grpc);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    // `Key::peer` needs the connect info, and the feature `axum`.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    client.unary(Ask::default()).await?;
    let status = client.unary(Ask::default()).await.expect_err("the quota is used up");
    println!("second call: {status}");
    Ok(())
}
