//! Two servers that share a quota in Redis. Without a Redis, each enforces its half.
//!
//! ```sh
//! cargo run -p tonic-ratelimit-layer --features redis --example ratelimit-redis -- redis://127.0.0.1:6379
//! ```
//!
//! Prints how each call ends, and what has decided.
#![allow(clippy::print_stdout)]

use std::error::Error;

use tonic::transport::Server;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_ratelimit_layer::{Quota, RateLimitLayer, RedisStore};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let mut clients = Vec::new();
    for _ in 0..2 {
        // As text: `main` prints the variant of an error.
        let store = RedisStore::connect(&url).map_err(|error| error.to_string())?;
        let store = store.prefix("example").replicas(2);
        let limits = RateLimitLayer::server(Quota::per_minute(4))
            .shared(store)
            .on_decision(|decision| {
                println!("  {}, by {}", decision.result(), decision.source().as_str());
            })
            .build()?;
        let (incoming, endpoint) = listen();
        let server =
            Server::builder().layer(limits).add_service(OrderServiceServer::new(Orders::default()));
        tokio::spawn(server.serve_with_incoming(incoming));
        clients.push(OrderServiceClient::new(endpoint.connect_lazy()));
    }

    for call in 1..=3 {
        for (server, client) in clients.iter_mut().enumerate() {
            match client.unary(Ask::default()).await {
                Ok(_) => println!("server {server}, call {call}: passed"),
                Err(status) => println!("server {server}, call {call}: {}", status.message()),
            }
        }
    }
    Ok(())
}
