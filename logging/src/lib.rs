//! Writes one structured log line per gRPC call, when the call really ends.
//!
//! The line has the method, the caller, the status, what ended the call, the time until the last message, and the
//! number of messages. It is an event of [`tracing`](https://docs.rs/tracing), so any subscriber can write it, as
//! JSON or as text.
//!
//! ```toml
//! [dependencies]
//! tonic-logging-layer = "0.1"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
//! tower = "0.5"                # for a client
//! tracing-subscriber = { version = "0.3", features = ["json"] }
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
//! use tonic_logging_layer::{LoggingLayer, Methods};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     tracing_subscriber::fmt().json().flatten_event(true).init();
//!
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     Server::builder()
//!         .layer(LoggingLayer::server().methods(&methods))
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
//! A line, wrapped here:
//!
//! ```json
//! {"timestamp":"2026-11-22T15:04:05.123456Z","level":"INFO","message":"finished call",
//!  "rpc.system.name":"grpc","rpc.method":"orders.v1.OrderService/GetOrder",
//!  "rpc.response.status_code":"NOT_FOUND","grpc.component":"server","grpc.protocol":"grpc",
//!  "grpc.method_type":"unary","duration_ms":1.204,
//!  "grpc.request.messages":1,"grpc.request.bytes":38,
//!  "grpc.response.messages":0,"grpc.response.bytes":0,
//!  "network.peer.address":"192.0.2.7","network.peer.port":51234,"grpc.timeout_ms":5000,
//!  "user_agent.original":"grpc-go/1.76.0","grpc.status_message":"no such order",
//!  "grpc.ended_by":"service","request_id":"8f14e45f","target":"tonic_logging_layer"}
//! ```
//!
//! With the feature `json`, `tonic_logging_layer::json::subscriber().init()` writes the same lines, for all events of the
//! program, with less than a third of the work.
//!
//! [`guide::keys`] describes all keys. To add your own, call [`CallInfo::add_field`](tonic_call::CallInfo::add_field)
//! in a handler.
//!
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_logging_layer::{BoxChannel, LoggingLayer};
//! use tower::ServiceBuilder;
//!
//! /// `BoxChannel` names the type of a layered client.
//! struct Billing {
//!     orders: OrderServiceClient<BoxChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
//!     let channel = ServiceBuilder::new()
//!         .layer(LoggingLayer::client())
//!         .service(channel);
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//! }
//! ```
//!
//! # Tracing, metrics and logging in one pass
//!
//! [`observe!`] makes one layer of several that watch calls. They share one pass over each call, which costs less than
//! a layer each:
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # struct TracingLayer;
//! # impl TracingLayer {
//! #     fn server() -> tonic_call::ObserveLayer<tonic_call_test_kit::Recorder> {
//! #         tonic_call::ObserveLayer::server(tonic_call_test_kit::Recorder::new())
//! #     }
//! # }
//! # struct MetricsLayer;
//! # impl MetricsLayer {
//! #     fn server() -> tonic_call::ObserveLayer<tonic_call_test_kit::Recorder> {
//! #         tonic_call::ObserveLayer::server(tonic_call_test_kit::Recorder::new())
//! #     }
//! # }
//! use tonic_logging_layer::{LoggingLayer, observe};
//!
//! # fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let server = tonic::transport::Server::builder()
//!     .layer(observe![TracingLayer::server(), MetricsLayer::server(), LoggingLayer::server()]?)
//!     .add_service(OrderServiceServer::new(Orders::default()));
//! # Ok(())
//! # }
//! ```
//!
//! # When lines are written
//!
//! | event | when | default |
//! |---|---|---|
//! | `finished call` | once per call, at its end: status, error, cancellation, deadline, panic or drop | on |
//! | `refusals left out` | after a second in which a [limit](LoggingLayer::refusals_per_second) suppressed lines | off |
//! | `started call` | when the request arrives ([`starts`](LoggingLayer::starts)) | off |
//! | `request received`, `response sent`, `request sent`, `response received` | after each message ([`messages`](LoggingLayer::messages)) | off |
//!
//! All events have the target `tonic_logging_layer`. The level depends on the status code and the side, as in
//! go-grpc-middleware: see [`default_level`] and [`Finished::default_level`]. Calls to the health and reflection
//! services are logged only if they fail. [`on_finished`](LoggingLayer::on_finished) runs for every finished call, even
//! if no line is written for it.
//!
//! On a server, the handler runs in a span `call` with the target `tonic_logging_layer::handler`, so its own events
//! carry `rpc.method`, `request_id` and `trace_id`.
//!
//! # An access log of its own
//!
//! With the feature `json`, the layer can write its lines itself, as Envoy and nginx do, instead of emitting events. This
//! needs no subscriber, does not depend on its filters, and costs less:
//!
#![cfg_attr(feature = "json", doc = "```no_run")]
#![cfg_attr(not(feature = "json"), doc = "```ignore")]
//! use tonic_logging_layer::{Lines, LogFile, LoggingLayer};
//!
//! let file = LogFile::append("/var/log/orders/access.log")?; // follows logrotate
//! // Calls do not wait for the disk. The guard writes the last lines at the end of `main`.
//! let (writer, _guard) = tracing_appender::non_blocking(file.clone());
//! let queue_full = writer.error_counter();
//! let lines = Lines::new(writer);
//! let layer = LoggingLayer::server().lines(lines.clone());
//!
//! // For a metric: each line that is lost is counted by one of these.
//! let dropped = lines.dropped() + queue_full.dropped_lines() as u64 + file.dropped();
//! # std::io::Result::Ok(())
//! ```
//!
//! Lines are JSON, the same as the event above. [`guide::operation`](guide::operation#an-access-log) says which are lost
//! when.
//!
//! # What the caller sees
//!
//! Nothing. The layer never changes a request, a response or a status.
//!
//! # Pitfalls
//!
//! | symptom | cause | fix |
//! |---|---|---|
//! | no lines at all | no subscriber is installed | call `tracing_subscriber::fmt().init()` at the start of `main` |
//! | no lines, but other events | the filter does not allow this target; `EnvFilter` without `RUST_LOG` allows only `ERROR` | `RUST_LOG=my_service=info,tonic_logging_layer=info` |
//! | no lines on a client | successful calls are `DEBUG` there | `RUST_LOG=tonic_logging_layer=debug`, or [`level`](LoggingLayer::level) |
//! | refused calls are missing | a layer outside this one refuses them | add this layer first, so that it is outside |
//! | no trace ids | the tracing layer is inside this one | add the tracing layer first |
//! | `Server::timeout` looks like a cancellation | it fires outside all layers | [`server_timeout`](LoggingLayer::server_timeout) |
//! | a client without credentials fills the disk | each refused call is a line of about 700 bytes | [`refusals_per_second(10)`](LoggingLayer::refusals_per_second) |
//! | the server hangs when the log reader stalls | stdout and stderr block | a [lossy queue](guide::operation#a-log-reader-that-stalls) |
//! | handler spans are unwanted | they are on by default | `RUST_LOG=info,tonic_logging_layer::handler=off`, or [`handler_span(false)`](LoggingLayer::handler_span) |
//! | tower's `option_layer` does not compile | the response types differ | [`option_layer`] of this crate |
//!
//! # More
//!
//! [`guide::operation`] covers sampling, axum, gRPC-Web, combining observers, and cost. Runnable programs are in
//! [`examples/`](https://github.com/tonic-layers/tonic-layers/tree/main/logging/examples).
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `tls-connect-info` | yes | reads the peer address of TLS connections from an incoming stream of your own (tonic's own TLS does not need it); adds rustls, without cryptography |
//! | `axum` | no | reads the peer address under `axum::serve`, with `into_make_service_with_connect_info::<SocketAddr>()` |
//! | `json` | no | writes JSON lines: the module `json`, a faster formatter for all events of a program, and `LoggingLayer::lines`, an access log; adds tracing-subscriber |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "json")]
mod current;
#[cfg(feature = "json")]
mod emitting;
mod extra;
mod facts;
mod finished;
#[cfg(feature = "json")]
pub mod json;
mod key;
mod layer;
mod level;
mod line;
#[cfg(feature = "json")]
mod lines;
mod member;
mod observer;
mod outputs;
mod refusals;
mod sample;
mod settings;
mod site;
mod sites;
mod span;

pub use self::finished::Finished;
pub use self::key::KeyError;
pub use self::layer::LoggingLayer;
pub use self::level::default_level;
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
pub use self::lines::{Lines, LogFile};
pub use self::observer::{Logging, LoggingCall};
pub use tonic_call::{BoxChannel, Methods, OptionLayer, observe, option_layer};

/// Further documentation.
#[cfg(any(doc, doctest))]
pub mod guide {
    #[doc = include_str!("../docs/keys.md")]
    pub mod keys {}
    #[doc = include_str!("../docs/operation.md")]
    pub mod operation {}
}
