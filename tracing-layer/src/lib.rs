//! Makes one OpenTelemetry span per gRPC call, until its real end, and propagates the trace across services.
//!
//! ```toml
//! [dependencies]
//! tonic-tracing-layer = "0.1"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "signal"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
//! tower = "0.5"                # for a client
//! opentelemetry = "0.33"
//! opentelemetry_sdk = "0.33"
//! opentelemetry-otlp = { version = "0.33", default-features = false, features = ["grpc-tonic", "trace"] }
//!
//! [build-dependencies]
//! tonic-prost-build = "0.14"
//! ```
//!
//! # On a server
//!
//! ```no_run
//! # use tonic_call_test_kit::{Orders, orders};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use orders::order_service_server::OrderServiceServer;
//! use tonic::transport::Server;
//! use tonic_tracing_layer::{Methods, TracingLayer};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // To http://localhost:4317, unless environment variables set another endpoint.
//!     let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
//!     let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
//!     opentelemetry::global::set_tracer_provider(provider.clone());
//!
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     let stop = async { drop(tokio::signal::ctrl_c().await) }; // in a container: SIGTERM
//!     Server::builder()
//!         .layer(TracingLayer::server().methods(&methods))
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve_with_shutdown("127.0.0.1:50051".parse()?, stop)
//!         .await?;
//!     provider.shutdown()?; // sends the last spans
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` is your service. [`Methods`] lists the methods and bounds the
//! names of spans. It comes from the descriptor set that `build.rs` writes:
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
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_tracing_layer::{BoxChannel, TracingLayer};
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
//!         .layer(TracingLayer::client("orders.svc:8080"))
//!         .service(channel);
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//! }
//! ```
//!
//! A channel does not expose its address, so the layer needs a [`Target`]. Outside a layer that retries, the span covers
//! the call with all its attempts; inside, each attempt has a span.
//!
//! # Tracing, metrics and logging in one pass
//!
//! [`observe!`] makes one layer of several that watch calls. They share one pass over each call, which costs less than
//! a layer each:
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! use tonic_logging_layer::LoggingLayer;
//! use tonic_metrics_layer::MetricsLayer;
//! use tonic_tracing_layer::{TracingLayer, observe};
//!
//! # fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let server = tonic::transport::Server::builder()
//!     .layer(observe![TracingLayer::server(), MetricsLayer::server(), LoggingLayer::server()]?)
//!     .add_service(OrderServiceServer::new(Orders::default()));
//! # Ok(())
//! # }
//! ```
//!
//! # When a span starts and ends
//!
//! A span starts with the request and ends once, with the call: a stream ends with its last message and its status. A
//! dropped call is `CANCELLED`, or `DEADLINE_EXCEEDED` if its `grpc-timeout` has passed; a call in which a panic occurred
//! is `INTERNAL`.
//!
//! The span follows OpenTelemetry's semantic conventions for gRPC, or for Connect: see [`guide::spans`]. It is a child of the caller's
//! span in `traceparent`, and it is current in the handler, in its response stream, and in clients that are called from
//! there: see [`guide::propagation`].
//!
//! Calls to the health and reflection services have no span, nor do calls that [`filter`](TracingLayer::filter) excludes.
//!
//! # What the caller sees
//!
//! Nothing, unless [`return_trace_id`](TracingLayer::return_trace_id) adds the trace id to the response. To put it into an
//! error message, use [`current_trace_id`]. On a client, `traceparent`, `tracestate` and `baggage` are sent.
//!
//! # Pitfalls
//!
//! | symptom | cause | fix |
//! |---|---|---|
//! | no spans, and one `WARN` at the first call | no tracer provider is set | `opentelemetry::global::set_tracer_provider`, or [`with_tracer_provider`](TracingLayer::with_tracer_provider) |
//! | the same `WARN`, although a provider is set | it is set for another version of `opentelemetry` | `cargo tree -i opentelemetry` must show one version |
//! | no spans, and no `WARN` | the exporter fails | read events with the targets `opentelemetry_sdk` and `opentelemetry-otlp` |
//! | no spans, and no `WARN` | the caller's trace is not sampled | choose another sampler, or [`public_endpoint`](TracingLayer::public_endpoint) |
//! | the last spans are missing | the batch was not sent | stop the server with `serve_with_shutdown`, then call `provider.shutdown()`; in a `current_thread` runtime with `spawn_blocking`, because it blocks |
//! | spans of a spawned task are roots | a new task has no context | `tokio::spawn(task.with_current_context())`, with `opentelemetry::context::FutureExt` |
//! | client spans are roots with tower's `Buffer` | `Buffer` calls the service in another task | put `Buffer` inside this layer |
//! | strangers choose trace ids and sampling | callers are trusted by default | [`public_endpoint`](TracingLayer::public_endpoint) |
//! | log lines have no trace ids | `tonic-logging-layer` is outside this layer | add this layer first, so that it is outside |
//! | a span `call` is between the call and the handler | `tonic-logging-layer` with `tracing-opentelemetry` | [filter it out](guide::propagation#with-tracing-opentelemetry) |
//! | `Server::timeout` looks like a cancellation | it fires outside all layers | [`server_timeout`](TracingLayer::server_timeout) |
//! | tower's `option_layer` does not compile | the response types differ | [`option_layer`] of this crate |
//!
//! # More
//!
//! [`guide::operation`] covers axum, gRPC-Web, combining observers and cost. Runnable programs are in
//! [`examples/`](https://github.com/tonic-layers/tonic-layers/tree/main/tracing-layer/examples).
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `tls-connect-info` | yes | reads the peer address of TLS connections from an incoming stream of your own (tonic's own TLS does not need it); adds rustls, without cryptography |
//! | `axum` | no | reads the peer address under `axum::serve`, with `into_make_service_with_connect_info::<SocketAddr>()` |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod baggage;
mod call;
mod conventions;
mod exception;
mod instrument;
mod layer;
mod metadata_keys;
mod observer;
mod propagation;
mod settings;
mod target;
mod trace_id;
mod tracer;
mod w3c;

pub use self::call::TracingCall;
pub use self::conventions::Conventions;
pub use self::layer::TracingLayer;
pub use self::observer::Tracing;
pub use self::target::Target;
pub use self::trace_id::current_trace_id;
pub use tonic_call::{BoxChannel, Methods, OptionLayer, observe, option_layer};

/// Further documentation.
#[cfg(any(doc, doctest))]
pub mod guide {
    #[doc = include_str!("../docs/spans.md")]
    pub mod spans {}
    #[doc = include_str!("../docs/propagation.md")]
    pub mod propagation {}
    #[doc = include_str!("../docs/operation.md")]
    pub mod operation {}
}
