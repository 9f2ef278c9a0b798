//! Retries the calls of a tonic client as gRPC defines it ([gRFC A6]), from the same service config as gRPC clients in
//! other languages read.
//!
//! ```toml
//! [dependencies]
//! tonic-deadline-layer = { version = "0.1", features = ["service-config"] }
//! tonic-retry-layer = "0.1"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
//! tower = "0.5"
//!
//! [build-dependencies]
//! tonic-prost-build = "0.14"
//! ```
//!
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_deadline_layer::DeadlineLayer;
//! use tonic_retry_layer::{BoxChannel, RetryLayer, ServiceConfig};
//! use tower::ServiceBuilder;
//!
//! const CONFIG: &str = r#"{
//!     "methodConfig": [{
//!         "name": [{"service": "orders.v1.OrderService"}],
//!         "timeout": "5s",
//!         "waitForReady": true,
//!         "retryPolicy": {
//!             "maxAttempts": 4,
//!             "initialBackoff": "0.1s",
//!             "maxBackoff": "1s",
//!             "backoffMultiplier": 2,
//!             "retryableStatusCodes": ["UNAVAILABLE"]
//!         }
//!     }],
//!     "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
//! }"#;
//!
//! /// `BoxChannel` gives a layered client a type that fits in a struct.
//! struct Billing {
//!     orders: OrderServiceClient<BoxChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = ServiceConfig::from_json(CONFIG)?; // an error names the field
//!     let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
//!     let channel = ServiceBuilder::new()
//!         .layer(DeadlineLayer::client(&config)) // `timeout`: all attempts share it
//!         .layer(RetryLayer::new(&config)) // all other fields
//!         .service(channel);
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates:
//!
//! ```ignore
//! // build.rs
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     tonic_prost_build::configure().compile_protos(&["proto/orders.proto"], &["proto"])?;
//!     Ok(())
//! }
//! ```
//!
//! ```ignore
//! // src/main.rs
//! mod orders {
//!     tonic::include_proto!("orders.v1");
//! }
//! ```
//!
//! The layer belongs inside layers that observe calls and inside the deadline layer, and outside credentials, so that
//! each attempt gets a fresh token. [`ServiceConfig`] lists the fields, and what is an error.
//!
//! # When a call is retried
//!
//! All four kinds of calls, until the head of a response is here. What was sent is sent again; what was received is
//! never repeated.
//!
//! | the server | how that is known | without a policy |
//! |---|---|---|
//! | has not got the call | no connection | if `waitForReady` is set, more attempts until the deadline |
//! | has not got the call | the connection closed before it was sent | more attempts until the deadline |
//! | has not processed it | HTTP/2: `REFUSED_STREAM`, `GOAWAY` | one more attempt at once |
//! | may have processed it | a status or HTTP error, a lost connection, another reset | none |
//!
//! In all of these a `retryPolicy` that lists the code allows more attempts, with pauses and up to
//! [a maximum](RetryLayer::max_attempts). The server can set the next pause, or stop the retries
//! (`grpc-retry-pushback-ms`); `retryThrottling` stops them while too many calls fail; and there is no pause beyond the
//! deadline. [`behaviour`] has the details.
//!
//! **A policy can run a call twice**: the server may have done its work before its answer was lost. List codes and
//! methods with which this does no harm, or send an [idempotency key](behaviour#which-calls-may-run-twice).
//!
//! **One retrier, not two.** If a service mesh retries too, the attempts multiply:
//! [turn one of them off](behaviour#one-retrier).
//!
//! # What the caller sees
//!
//! | situation | code | message |
//! |---|---|---|
//! | an attempt is answered | the server's | the server's |
//! | an attempt fails, and no other follows | that of the last attempt | that of the last attempt |
//! | the connection is lost before an answer, and no other attempt follows | `UNAVAILABLE` (tonic alone: `UNKNOWN`) | `the connection was lost: …` |
//! | the deadline passes, and no deadline layer is outside | `DEADLINE_EXCEEDED` | `the deadline has passed`, and if so, `and there was no connection` |
//! | `Endpoint::timeout` passes | `DEADLINE_EXCEEDED` | `the channel's own timeout has passed` |
//! | a message is longer than `maxRequestMessageBytes` or `maxResponseMessageBytes` | `RESOURCE_EXHAUSTED` | `a request message of 11 bytes is longer than the limit of 10` |
//!
//! A [`RetryHook`] gets the reason why there was no other attempt.
//!
//! # Pitfalls
//!
//! | pitfall | what to do |
//! |---|---|
//! | `timeout` has no effect | put `DeadlineLayer::client(&config)` outside this layer |
//! | a deadline layer inside gives each attempt the full time | put it outside |
//! | `waitForReady` without a deadline: calls may wait for ever; one `WARN` | set `timeout` |
//! | each attempt repeats a token that was refused | put credentials inside |
//! | a layer per call: the tokens of `retryThrottling` are new each time | one layer per server; clones share its tokens and memory |
//! | a misspelt name in the config never applies | `config.methods().check(&methods)?` |
//! | a server that is overloaded is not left alone | set `retryThrottling` |
//! | refusals of a rate limit are not retried, although they say when | list `RESOURCE_EXHAUSTED` |
//! | an error that a stream yields as its first item is not retried | return it from the handler |
//! | an upload is not retried | it is longer than [`call_bytes`](RetryLayer::call_bytes) |
//! | on a server the layer runs handlers again; one `WARN` | use it on clients |
//! | tower's `option_layer` does not compile | use [`option_layer`] of this crate |
//!
//! # Cost
//!
//! A call that is not retried costs ten small allocations, and three more with a deadline. What was sent is kept by
//! reference until the call is answered, not copied: at most [256 KiB](RetryLayer::call_bytes) for a call and
//! [16 MiB](RetryLayer::total_bytes) for all calls of a layer.
//!
//! # Features
//!
//! There are none. A runnable program is in
//! [`examples/`](https://github.com/tonic-layers/tonic-layers/tree/main/retry/examples).
//!
//! [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod hook;
mod layer;
mod policy;
mod response;
mod service;
mod settings;

#[doc = include_str!("../docs/behaviour.md")]
pub mod behaviour {}

pub use self::hook::{Attempt, AttemptKind, AttemptOutcome, Final, Retries, RetryHook};
pub use self::layer::RetryLayer;
pub use self::response::{ResponseBody, ResponseFuture};
pub use self::service::RetryChannel;
pub use tonic_call::{
    BoxChannel, ConfigError, OptionLayer, Rpc, ServiceConfig, WaitForReady, option_layer,
};
