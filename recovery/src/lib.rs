//! Turns a panic into a gRPC status, before the answer and in the middle of a stream.
//!
//! ```toml
//! [dependencies]
//! tonic-recovery-layer = "0.1"
//! tonic = "0.14"
//! ```
//!
//! # On a server
//!
//! ```no_run
//! # use tonic_call_test_kit::{KindsService, v1::kinds_server::KindsServer};
//! # #[tokio::main]
//! # async fn main() -> Result<(), tonic::transport::Error> {
//! # let orders = KindsServer::new(KindsService::default());
//! use tonic::transport::Server;
//! use tonic_recovery_layer::{RecoveryLayer, capture_panics_quietly};
//!
//! capture_panics_quietly(); // location and backtrace, in the event instead of on standard error
//!
//! Server::builder()
//!     .layer(RecoveryLayer::server())
//!     .add_service(orders)
//!     .serve("127.0.0.1:50051".parse().unwrap())
//!     .await
//! # }
//! ```
//!
//! # On a client
//!
//! Recovers what panics in the layers around a channel, and in the stream of messages that is sent:
//! the connection polls that stream, and a panic there would end every call that is on it.
//!
//! ```no_run
//! # use tonic_call_test_kit::v1::kinds_client::KindsClient;
//! # fn main() {
//! use tonic::transport::Endpoint;
//! use tonic_recovery_layer::RecoveryLayer;
//! use tower::ServiceBuilder;
//!
//! let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
//! let channel = ServiceBuilder::new().layer(RecoveryLayer::client()).service(channel);
//! let orders = KindsClient::new(channel);
//! # }
//! ```
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
