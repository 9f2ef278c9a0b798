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
//!     capture_panics_quietly(); // location and backtrace, in the event instead of on standard error
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
//! `orders` is the module that tonic generates, and `Orders` your service:
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
//! Recovers what panics in the layers around a channel, and in the stream of messages that is sent:
//! the connection polls that stream, and a panic there would end every call that is on it.
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_recovery_layer::{BoxChannel, RecoveryLayer};
//! use tower::ServiceBuilder;
//!
//! /// A layered client has a name, and so fits in a struct.
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
//! # Around one service, in axum, or by a setting
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
//! // Only if a setting says so: tower's own `option_layer` does not fit.
//! let maybe = Server::builder().layer(option_layer(is_on.then_some(layer))).add_service(orders);
//! # Ok(())
//! # }
//! ```
//!
//! With tonic-web: see [`tonic_call`](tonic_call#with-tonic-web-and-cors).
//!
//! # What the caller sees
//!
//! | where the panic is | what the caller sees |
//! |---|---|
//! | `poll_ready`, `call`, the response future: any handler before its answer | `INTERNAL`, trailers-only |
//! | the response body: a handler's stream | the messages that were handed to HTTP, then `INTERNAL` |
//! | a handler's stream in a [`RecoverStream`] | every message before the panic, then `INTERNAL` |
//! | a spawned producer whose stream is [fed by it](RecoverStream::fed_by) | every message that it sent, then `INTERNAL` |
//! | a destructor | nothing: its answer, if it has one, stays as it is |
//!
//! The text is always `internal error`, never the panic's own. Another status, made from the panic,
//! is chosen by [`RecoveryLayer::with_handler`]. The connection and all other calls on it go on, and
//! what has panicked is dropped and never polled again.
//!
//! # When the hooks are called
//!
//! For each panic, in this order: the call's [`CallInfo`](tonic_call::CallInfo) is told its message,
//! so that layers outside can count and name it; an `ERROR` event is emitted; the handler is called,
//! for the status.
//! The event has the target `tonic_recovery_layer`, the message `a panic was recovered`, and the
//! fields `rpc.method`, `panic.place`, `exception.type` (`panic`), `exception.message`, and after
//! [`capture_panics`] `exception.location` and `exception.stacktrace`. The stack has the program's own frames
//! alone, and none with `RUST_BACKTRACE=0`. All of it takes less than 16 KiB as JSON, since container runtimes
//! split longer lines.
//!
//! # Where to put it
//!
//! Inside the layers that observe (metrics, logs, spans), so that they see the status, and outside
//! those that may panic. Any order loses no ending: an observer further in sees a call that unwound.
//! In an axum router that holds other routes too, put it around tonic's routes alone: its answer is a
//! gRPC status, which to other clients is an HTTP 200.
//!
//! With tonic-web it stands inside or outside `GrpcWebLayer`: outside, it answers in gRPC-Web. The CORS layer
//! stands outside both.
//!
//! # What it can't do
//!
//! - **`panic = "abort"`** in the profile that builds the program ends the process at the first
//!   panic: nothing unwinds, and there is nothing to recover. This layer needs the default,
//!   `panic = "unwind"`.
//! - A panic in a task that a handler spawned is not the handler's: tie the task to the stream it
//!   feeds with [`RecoverStream::fed_by`], or await its `JoinHandle`. Its location and backtrace are
//!   told if it is [`captured`].
//! - State that a panic left half changed stays so. A `std::sync::Mutex` is poisoned by it.
//! - Two panics at once, one in a destructor that runs while the other unwinds through the handler,
//!   abort the process, as everywhere in Rust.
//!
//! # What it costs
//!
//! No allocation on a server. On a client two: the request body's box, and what it shares with the
//! response.

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
