//! Turns a panic into a gRPC status, before the answer and in the middle of a stream.
//!
//! ```toml
//! [dependencies]
//! tonic-recovery-layer = "0.1"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
//! tower = "0.5"                # for a client
//!
//! [build-dependencies]
//! tonic-prost-build = "0.14"
//! ```
//!
//! # On a server
//!
//! ```no_run
//! # use tonic_call_test_kit::{Orders, orders};
//! use orders::order_service_server::OrderServiceServer;
//! use tonic::transport::Server;
//! use tonic_recovery_layer::{RecoveryLayer, capture_panics_quietly};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     capture_panics_quietly(); // location and backtrace go to the event
//!
//!     Server::builder()
//!         .layer(RecoveryLayer::server())
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` is your service:
//!
//! ```ignore
//! // build.rs
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     tonic_prost_build::compile_protos("proto/orders.proto")?;
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
//! # On a client
//!
//! Recovers panics in the inner layers and in the request stream. The connection polls the request stream, so without
//! this layer a panic there ends every call on the connection.
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_recovery_layer::{BoxChannel, RecoveryLayer};
//! use tower::ServiceBuilder;
//!
//! /// `BoxChannel` gives a layered client a type that fits in a struct.
//! struct Billing {
//!     orders: OrderServiceClient<BoxChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
//!     let channel = ServiceBuilder::new()
//!         .layer(RecoveryLayer::client())
//!         .service(channel);
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//! }
//! ```
//!
//! # Around one service, in axum, or optional
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_recovery_layer::{RecoveryLayer, option_layer};
//!
//! let layer = RecoveryLayer::server();
//! let orders = OrderServiceServer::new(Orders::default());
//!
//! // Around one service of several.
//! let one = Server::builder().add_service(layer.named_layer(orders.clone()));
//! // Around the gRPC routes of an axum router.
//! let routes = Routes::new(orders.clone()).into_axum_router().layer(layer.clone());
//! let router: axum::Router = axum::Router::new().merge(routes);
//! // Only if a setting turns it on: tower's own `option_layer` does not fit.
//! let maybe = Server::builder().layer(option_layer(is_on.then_some(layer))).add_service(orders);
//! # Ok(())
//! # }
//! ```
//!
//! With tonic-web: see [`tonic_call`](tonic_call#with-tonic-web-and-cors).
//!
//! # What the caller sees
//!
//! | the panic is in | the caller sees |
//! |---|---|
//! | `poll_ready`, `call` or the response future (a handler before its answer) | `INTERNAL`, trailers-only |
//! | the response body (a handler's stream) | the messages that tonic had already passed to HTTP, then `INTERNAL` |
//! | a handler's stream inside a [`RecoverStream`] | every message before the panic, then `INTERNAL` |
//! | a spawned task that [feeds](RecoverStream::fed_by) a stream | every message that it sent, then `INTERNAL` |
//! | a destructor | the normal answer |
//!
//! The status message is `internal error`. Set another status with [`RecoveryLayer::with_handler`]. A future, body or
//! stream that has panicked is dropped and never polled again.
//!
//! # What the operator sees
//!
//! For each panic, in this order:
//!
//! 1. The message is recorded in the call's [`CallInfo`](tonic_call::CallInfo), so that outer layers can count and
//!    log the panic.
//! 2. An `ERROR` event with the target `tonic_recovery_layer` and the message `a panic was recovered`. Its fields are
//!    `rpc.method`, `panic.place`, `exception.type` (`panic`), `exception.message`, and after [`capture_panics`]
//!    `exception.location` and `exception.stacktrace`. As JSON it is smaller than 16 KiB, because container runtimes
//!    split longer lines.
//! 3. The handler of [`RecoveryLayer::with_handler`], if there is one, is called to get the status.
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | build with `panic = "abort"` | the process ends at the first panic | keep the default, `panic = "unwind"` |
//! | put this layer outside metrics, logging or tracing | they see a call that unwound, and not its status; each call still ends once | put it inside them |
//! | put it around all routes of an axum router | a page that panics is answered with a gRPC status, HTTP 200 | put it around tonic's routes |
//! | spawn a task that feeds a stream | a panic in the task closes the channel, and the stream ends early with `OK` | use [`RecoverStream::fed_by`], or await the `JoinHandle` |
//! | spawn a task, and call [`capture_panics`] | the task's panic has no location and backtrace | wrap the task in [`captured`] |
//! | share state with a handler that panics | the state stays as the panic left it; a `std::sync::Mutex` is poisoned | use state that a panic can't leave inconsistent |
//! | panic in a destructor while another panic unwinds | the process aborts, as everywhere in Rust | |
//! | set `RUST_BACKTRACE=0` | the event has no stack | |
//!
//! # Cost
//!
//! No allocation per call on a server. Two on a client: the request body's box, and the state that it shares with the
//! response.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod capture;
mod context;
mod frame;
mod future;
mod layer;
mod panic;
mod request_body;
mod service;
mod stack;
mod stream;
mod task;

pub use self::body::ResponseBody;
pub use self::capture::{capture_panics, capture_panics_quietly};
pub use self::future::ResponseFuture;
pub use self::layer::RecoveryLayer;
pub use self::panic::{Panic, Place};
pub use self::service::Recover;
pub use self::stream::RecoverStream;
pub use self::task::captured;
pub use tonic_call::{BoxChannel, OptionLayer, option_layer};
