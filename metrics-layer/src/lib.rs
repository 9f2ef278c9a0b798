//! Counts and times gRPC calls for Prometheus, until the last message of each call.
//!
//! The names are those of go-grpc-prometheus, which existing dashboards and alerts use, or those of OpenTelemetry. The
//! layer counts in any recorder of the crate [`metrics`]; the feature `exporter` sets up Prometheus and serves `/metrics`.
//!
//! ```toml
//! [dependencies]
//! tonic-metrics-layer = { version = "0.1", features = ["exporter"] }
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "net"] }
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
//! use tokio::net::TcpListener;
//! use tonic::transport::Server;
//! use tonic_metrics_layer::exporter::Prometheus;
//! use tonic_metrics_layer::{Methods, MetricsLayer};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let scrape = Prometheus::new().install()?;
//!     tokio::spawn(scrape.serve(TcpListener::bind("127.0.0.1:9464").await?)); // GET /metrics
//!
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     Server::builder()
//!         .layer(MetricsLayer::server().methods(&methods))
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` is your service. [`Methods`] lists the methods and their
//! kinds, and bounds every label. It comes from the descriptor set that `build.rs` writes:
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
//! use tonic_metrics_layer::{BoxChannel, MetricsLayer};
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
//!         .layer(MetricsLayer::client())
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
//! # struct LoggingLayer;
//! # impl LoggingLayer {
//! #     fn server() -> tonic_call::ObserveLayer<tonic_call_test_kit::Recorder> {
//! #         tonic_call::ObserveLayer::server(tonic_call_test_kit::Recorder::new())
//! #     }
//! # }
//! use tonic_metrics_layer::{MetricsLayer, observe};
//!
//! # fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let server = tonic::transport::Server::builder()
//!     .layer(observe![TracingLayer::server(), MetricsLayer::server(), LoggingLayer::server()]?)
//!     .add_service(OrderServiceServer::new(Orders::default()));
//! # Ok(())
//! # }
//! ```
//!
//! # What is counted
//!
//! On a client, `client` replaces `server` in the names.
//!
//! | family | type | labels besides `grpc_type`, `grpc_service`, `grpc_method` |
//! |---|---|---|
//! | `grpc_server_started_total` | counter | |
//! | `grpc_server_handled_total` | counter | `grpc_code` |
//! | `grpc_server_handling_seconds` | histogram | |
//! | `grpc_server_msg_received_total`, `grpc_server_msg_sent_total` | counters | |
//! | `grpc_server_in_flight` | gauge | |
//! | `grpc_server_refused_total`, only on servers | counter | `refused_by`, `reason`, `shadow` |
//! | `grpc_server_panics_total`, only on servers | counter | |
//! | `grpc_server_msg_received_bytes`, `grpc_server_msg_sent_bytes`, with [`message_bytes`](MetricsLayer::message_bytes) | histograms | |
//!
//! [`guide::metrics`] describes labels, unknown methods and the names of OpenTelemetry ([`Names`]).
//!
//! # When it is counted
//!
//! | when | metrics |
//! |---|---|
//! | a call begins | `in_flight`, `started` |
//! | a message has passed | `msg_received` or `msg_sent`, and its size |
//! | the call has ended | `handled`, `handling`, `refused`, `panics`, then `in_flight` |
//!
//! A call ends with its status after the last message, or when it is dropped: because the caller has left, a deadline
//! has expired, or a panic has occurred. Every call is handled exactly once and leaves `in_flight`.
//!
//! # What the caller sees
//!
//! Nothing. The layer never changes a request, a response or a status.
//!
//! # Pitfalls
//!
//! | symptom | cause | fix |
//! |---|---|---|
//! | no metrics, and one `WARN` at the first call | no recorder is installed | install [`exporter::Prometheus`](exporter) before the first call |
//! | the same `WARN`, although a recorder is installed | it is for another version of `metrics` | `cargo tree -i metrics` must show one version |
//! | a series is missing until its first call | the methods are unknown | pass [`methods`](MetricsLayer::methods): all series then start at zero |
//! | all `grpc_type` are `unknown` | the methods are unknown | [`methods`](MetricsLayer::methods) |
//! | refused calls are missing | a layer outside this one refuses them | add this layer first, so that it is outside |
//! | `Server::timeout` counts as `Canceled` | it fires outside all layers | [`server_timeout`](MetricsLayer::server_timeout) |
//! | `grpc_client_*` families on a server | the layer was built by `client()` | use `server()`; a `WARN` says so, too |
//! | memory grows, histograms are summaries | another setup of `metrics-exporter-prometheus` | see [`exporter`] |
//! | tower's `option_layer` does not compile | the response types differ | [`option_layer`] of this crate |
//!
//! # More
//!
//! [`guide::operation`] covers axum, gRPC-Web, combining observers, recorders and cost. There are a
//! [Grafana dashboard](https://github.com/tonic-layers/tonic-layers/tree/main/metrics-layer/grafana),
//! [alerts](https://github.com/tonic-layers/tonic-layers/tree/main/metrics-layer/alerts) and
//! [examples](https://github.com/tonic-layers/tonic-layers/tree/main/metrics-layer/examples).
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `exporter` | no | configures `metrics-exporter-prometheus` with buckets and upkeep, and serves `/metrics` |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod buckets;
mod by_code;
mod call_series;
#[cfg(feature = "exporter")]
pub mod exporter;
mod families;
mod label_sets;
mod labels;
mod layer;
mod method;
mod names;
mod observer;
mod refused;
mod series;
mod settings;
mod table;
mod variant;

pub use self::buckets::{
    CALL_DURATION_SECONDS_BUCKETS, HANDLING_SECONDS_BUCKETS, MESSAGE_BYTES_BUCKETS,
};
pub use self::labels::{LabelError, Labels, MAX_COMBINATIONS};
pub use self::layer::MetricsLayer;
pub use self::names::{CodeSpelling, Names};
pub use self::observer::{Metrics, MetricsCall};
pub use tonic_call::{BoxChannel, Methods, OptionLayer, observe, option_layer};

/// Further documentation.
#[cfg(any(doc, doctest))]
pub mod guide {
    #[doc = include_str!("../docs/metrics.md")]
    pub mod metrics {}
    #[doc = include_str!("../docs/operation.md")]
    pub mod operation {}
}
