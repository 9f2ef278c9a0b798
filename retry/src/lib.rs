//! Retries the calls of a tonic client as gRPC defines it ([gRFC A6]), from the same service config as every other gRPC
//! client reads.
//!
//! ```toml
//! [dependencies]
//! tonic-retry-layer = "0.1"
//! prost = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
//! tower = "0.5"
//!
//! [build-dependencies]
//! tonic-prost-build = "0.14"
//! ```
//!
//! # Client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_retry_layer::{BoxChannel, RetryLayer, ServiceConfig};
//! use tower::ServiceBuilder;
//!
//! const CONFIG: &str = r#"{
//!     "methodConfig": [{
//!         "name": [{"service": "orders.v1.OrderService"}],
//!         "waitForReady": true,
//!         "timeout": "5s",
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
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = ServiceConfig::from_json(CONFIG)?;
//!     let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
//!     let channel = ServiceBuilder::new()
//!         .layer(RetryLayer::new(&config))
//!         .service(channel);
//!     let orders = OrderServiceClient::new(BoxChannel::new(channel));
//!     # let _ = orders;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates. `timeout` is the deadline layer's: `DeadlineLayer::client(&config)` of
//! `tonic-deadline-layer`, which is outside this layer. Without it, the deadline is that of the caller's `grpc-timeout`.
//!
//! # What is retried
//!
//! | an attempt ends with | the server | then |
//! |---|---|---|
//! | a status in the head, or an HTTP error | may have processed it | the policy decides by the code |
//! | a remote `REFUSED_STREAM`, or a remote `GOAWAY` for lower streams | has not processed it | once more at once; then the policy decides |
//! | a connection that closed before the request was sent | has not got it | again until the deadline, after the first time with pauses |
//! | no connection | has not got it | if the call waits for one: again until the deadline, with pauses; else the policy decides: `UNAVAILABLE` |
//! | any other error: a lost connection, another reset | may have processed it | the policy decides by the code |
//! | the channel's own timer (`Endpoint::timeout`) | may have processed it | `DEADLINE_EXCEEDED`, never retried |
//! | a response head | is answering | the caller has the answer, whatever follows |
//!
//! A server that streams sends a head with its first message, or with an error in its place. To be retried, an error
//! must come before the stream: return it from the handler instead of yielding it as the first item.
//!
//! A policy retries calls that the server may have processed. List only codes for which that does no harm, or make the
//! methods idempotent.
//!
//! A wait is never longer than the time to the deadline: then the caller gets the failure at once. `grpc-retry-pushback-ms`
//! replaces a wait, or stops the retries. Layers inside see each attempt, with what is left in `grpc-timeout`, with
//! `grpc-previous-rpc-attempts`, and with a [`CallInfo`](tonic_call::CallInfo) of its own; layers outside see one call.
//!
//! A service mesh may retry too, and the attempts multiply: let only one of them retry.
//!
//! # What it needs
//!
//! A request is kept until its call is answered: up to 256 KiB, and 16 MiB for all calls together. A call that sends
//! more is not retried. See [`RetryLayer::call_bytes`] and [`RetryLayer::total_bytes`].
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | make a layer per call | the tokens of `retryThrottling` are new each time | make one per server, and clone it |
//! | wait for connections without a deadline | calls may wait for ever; one `WARN` | set `timeout` in the config |
//! | put a layer with credentials outside | attempts repeat a token that was refused | put it inside |
//!
//! [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md

mod attempt;
mod hook;
mod layer;
mod policy;
mod replay;
mod response;
mod service;
mod settings;

pub use self::hook::{Attempt, AttemptKind, AttemptOutcome, Final, Retries, RetryHook};
pub use self::layer::RetryLayer;
pub use self::response::{ResponseBody, ResponseFuture};
pub use self::service::RetryChannel;
pub use tonic_call::{
    BoxChannel, ConfigError, OptionLayer, Rpc, ServiceConfig, WaitForReady, option_layer,
};
