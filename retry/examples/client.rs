//! A client that retries by a service config. The server refuses the call twice, the second time with a pushback.
//!
//! ```sh
//! cargo run -p tonic-retry-layer --example retry-client
//! ```
//!
//! Prints:
//!
//! ```text
//! the server gets attempt 1, grpc-previous-rpc-attempts: none
//!   the client: First Retried(Unavailable)
//! the server gets attempt 2, grpc-previous-rpc-attempts: 1
//!   the client: Retry Retried(Unavailable)
//! the server gets attempt 3, grpc-previous-rpc-attempts: 2
//!   the client: Retry Answered
//! the caller gets: one order
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tonic::transport::Server;
use tonic::{Request, Status};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_deadline_layer::DeadlineLayer;
use tonic_retry_layer::{Attempt, BoxChannel, RetryHook, RetryLayer, Rpc, ServiceConfig};
use tower::ServiceBuilder;

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

/// The empty name stands for all methods.
const CONFIG: &str = r#"{
    "methodConfig": [{
        "name": [{}],
        "timeout": "5s",
        "waitForReady": true,
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }]
}"#;

/// Prints how each attempt ends.
struct Print;

impl RetryHook for Print {
    fn attempt(&self, _: &Rpc, attempt: Attempt) {
        println!("  the client: {:?} {:?}", attempt.kind, attempt.outcome);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let attempts = Arc::new(AtomicU32::new(0));
    let refuse_twice = move |request: Request<()>| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let previous = request.metadata().get("grpc-previous-rpc-attempts");
        let previous = previous.and_then(|number| number.to_str().ok()).unwrap_or("none");
        println!("the server gets attempt {attempt}, grpc-previous-rpc-attempts: {previous}");
        let mut refusal = Status::unavailable("not yet");
        match attempt {
            1 => return Err(refusal),
            2 => refusal.metadata_mut().insert("grpc-retry-pushback-ms", 20.into()),
            _ => return Ok(request),
        };
        Err(refusal)
    };
    let (incoming, endpoint) = listen();
    let service = OrderServiceServer::with_interceptor(Orders::default(), refuse_twice);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));

    let config = ServiceConfig::from_json(CONFIG)?;
    let channel = ServiceBuilder::new()
        .layer(DeadlineLayer::client(&config)) // all attempts share the 5 s
        .layer(RetryLayer::new(&config).hook(Print))
        .service(endpoint.connect_lazy());
    let mut orders = OrderServiceClient::new(BoxChannel::new(channel));
    let answer = orders.unary(Ask { text: "one order".to_owned(), ..Ask::default() }).await?;
    println!("the caller gets: {}", answer.into_inner().text);
    Ok(())
}
