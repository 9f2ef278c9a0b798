//! Enforces the deadlines of gRPC calls up to the last message, and passes them on to the calls that a handler makes.
//!
//! ```toml
//! [dependencies]
//! tonic-deadline-layer = "0.1"
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
//! use std::time::Duration;
//!
//! use orders::order_service_server::OrderServiceServer;
//! use tonic::transport::Server;
//! use tonic_deadline_layer::{DeadlineLayer, Methods};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     // The caller's own deadline is always enforced. These limits are for unary calls: streams may last.
//!     let deadlines = DeadlineLayer::server()
//!         .default(Duration::from_secs(30)) // for callers without a deadline
//!         .cap(Duration::from_secs(120)) // for callers that would wait longer
//!         .stall(Duration::from_secs(60)) // for callers that read nothing, in all kinds of calls
//!         .methods(&methods);
//!
//!     Server::builder()
//!         .layer(deadlines)
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` is your service. [`Methods`] lists the methods and their
//! kinds. It comes from the descriptor set that `build.rs` writes:
//!
//! ```ignore
//! // build.rs
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
//!     tonic_prost_build::configure()
//!         .file_descriptor_set_path(out.join("orders.bin"))
//!         .compile_protos(&["proto/orders.proto"], &["proto"])?;
//!     Ok(())
//! }
//! ```
//!
//! ```ignore
//! // src/main.rs
//! mod orders {
//!     tonic::include_proto!("orders.v1");
//!     pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("orders");
//! }
//! ```
//!
//! The layer belongs inside recovery and the layers that observe calls, and outside authentication and rate limits.
//!
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use std::time::Duration;
//!
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_deadline_layer::{BoxChannel, DeadlineLayer, Methods};
//! use tower::ServiceBuilder;
//!
//! /// `BoxChannel` gives a layered client a type that fits in a struct.
//! struct Billing {
//!     orders: OrderServiceClient<BoxChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
//!     let channel = ServiceBuilder::new()
//!         // At most 5 s for a unary call. `client(None)` sets no limit of its own.
//!         .layer(DeadlineLayer::client(Duration::from_secs(5)).methods(&methods))
//!         .service(channel);
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//!     Ok(())
//! }
//! ```
//!
//! With the feature `service-config` the limits can come from gRPC's service config, which `tonic-retry-layer` reads too.
//! A `timeout` there is for all four kinds of calls, and needs no [`methods`](ClientDeadlineLayer::methods):
//!
//! ```
//! # #[cfg(feature = "service-config")]
//! # fn config() -> Result<(), tonic_deadline_layer::ConfigError> {
//! use tonic_deadline_layer::{DeadlineLayer, ServiceConfig};
//!
//! let config = ServiceConfig::from_json(r#"{"methodConfig": [{"name": [{}], "timeout": "5s"}]}"#)?;
//! let layer = DeadlineLayer::client(&config); // outside of a retry layer
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # In a handler
//!
//! ```
//! use tonic_deadline_layer::Deadline;
//!
//! # async fn call_another_service() {}
//! # async fn handler<T>(request: tonic::Request<T>) {
//! let deadline = Deadline::current(); // or `Deadline::of(request.extensions())`; `None`: there is none
//! let remaining = deadline.map(Deadline::remaining);
//!
//! // Client calls in the handler's task have this deadline too. Those of a spawned task have it in a scope:
//! tokio::spawn(Deadline::scope(deadline, call_another_service()));
//! // A client call that must not have it:
//! Deadline::detached(call_another_service()).await;
//! # }
//! ```
//!
//! # When a call is ended
//!
//! At its deadline, whether it waits for a message or sends them without a pause, and even if its caller reads
//! nothing. The handler's future or stream is dropped. The caller gets a status: before the response alone, later
//! after the messages that were sent. Logs, metrics and spans of the other layers show `DEADLINE_EXCEEDED`, ended by
//! a deadline.
//!
//! | side | deadline of a unary call | of a stream | if the kind is not known |
//! |---|---|---|---|
//! | server | the caller's `grpc-timeout`, or else [`default`](DeadlineLayer::default); at most [`cap`](DeadlineLayer::cap) | the same with [`stream_default`](DeadlineLayer::stream_default) and [`stream_cap`](DeadlineLayer::stream_cap) | the caller's; `default` and `cap` up to the head of the response |
//! | client | the earliest of the request's own, the layer's, and the [inbound call's](Deadline::current) less [`margin`](ClientDeadlineLayer::margin) | the same; the layer's only by a rule for the method | as for a stream |
//!
//! A client's deadline is sent as `grpc-timeout`, rounded down, and includes the wait for a connection.
//! [`DeadlineLayer`] and [`ClientDeadlineLayer`] have the details: limits per method, callers that read nothing,
//! spawned tasks, and where the layers belong.
//!
//! # What the caller sees
//!
//! | situation | code | message | reason |
//! |---|---|---|---|
//! | the caller's deadline passes | `DEADLINE_EXCEEDED` | `the caller's deadline has passed` | |
//! | a limit of the server passes | `DEADLINE_EXCEEDED` | `the server's limit of 30s for this call has passed` | |
//! | the caller reads nothing for the time of [`stall`](DeadlineLayer::stall) | `DEADLINE_EXCEEDED` | `the caller has read nothing for 60s` | |
//! | the caller's deadline had passed on arrival, or passes before the handler begins | `DEADLINE_EXCEEDED` | `the caller's deadline had passed when the call arrived` | `TIMEOUT_EXPIRED` |
//! | `grpc-timeout` is malformed, or sent twice | `INTERNAL` | `malformed grpc-timeout: …` | `TIMEOUT_MALFORMED` |
//! | a [required](DeadlineLayer::required) deadline is missing | `INVALID_ARGUMENT` | `this method needs a deadline, in the header grpc-timeout` | `DEADLINE_REQUIRED` |
//! | client: the layer's limit passes | `DEADLINE_EXCEEDED` | `the client's limit of 5s for this call has passed` | |
//! | client: the inbound call's deadline passes | `DEADLINE_EXCEEDED` | `the deadline of the inbound call has passed` | |
//! | client: `Endpoint::timeout` passes | `DEADLINE_EXCEEDED` | `the channel's own timeout has passed` | |
//!
//! A call with a reason is refused before its handler runs. Logs and metrics show the reason; the caller does not get
//! it.
//!
//! # Pitfalls
//!
//! | pitfall | what to do |
//! |---|---|
//! | `Server::timeout` of tonic is shorter: its callers get `CANCELLED`, "Timeout expired", since it acts outside all layers | leave it unset, or set it longer than `cap` |
//! | `Endpoint::timeout` is shorter: it is not sent to the server, and ends at the head of the response | leave it unset |
//! | [`client`](DeadlineLayer::client) with a `Duration` but without [`methods`](ClientDeadlineLayer::methods) limits nothing, and logs one WARN | set `methods`, or rules for methods |
//! | a rule of a [`MethodTable`] has a misspelt name, and never applies | end the table with [`checked(&methods)?`](MethodTable::checked) |
//! | refused calls are missing in logs and metrics | put this layer inside those that observe calls, and inside recovery |
//! | the time that auth takes does not count | put auth and rate limits inside this layer |
//! | a task that the handler has spawned goes on after the deadline | only the handler is dropped: hold the task in a `JoinSet`, or give it the deadline |
//! | a handler that blocks its thread is not ended: nothing polls it | await `tokio::task::spawn_blocking` |
//! | the stream of a caller without a deadline never ends | set `stream_default`, or [`required`](DeadlineLayer::required) |
//! | many calls expire at once, and their connection breaks: h2 closes one with more than 20 streams that were reset before the server took them | raise `http2_max_pending_accept_reset_streams` of the server |
//! | "there is no reactor running" | run the layer in a tokio runtime with time enabled: tonic's server and channel need one too |
//! | each attempt of a retry layer has the full time | put the retry layer inside this one |
//! | tower's `option_layer` does not compile | use [`option_layer`] of this crate |
//!
//! # Cost
//!
//! A call without a deadline or limit costs no timer and no allocation. One with a deadline costs nine allocations,
//! or seven inside a layer that watches calls.
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `service-config` | no | takes the limits of a client from gRPC's service config: `ServiceConfig` |
//!
//! Runnable programs are in
//! [`examples/`](https://github.com/tonic-layers/tonic-layers/tree/main/deadline/examples).

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod enforce;
mod refusal;
mod server;

pub use self::client::{Attempt, ClientDeadlineLayer, ClientDeadlines, DeadlineChannel};
pub use self::enforce::{ResponseBody, ResponseFuture};
pub use self::server::{DeadlineLayer, DeadlineService};
pub use tonic_call::{
    BoxChannel, Deadline, DeadlineScope, Matches, MethodTable, Methods, OptionLayer, option_layer,
};
#[cfg(feature = "service-config")]
pub use tonic_call::{ConfigError, ServiceConfig};
