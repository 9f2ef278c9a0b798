//! Counts and times gRPC calls, to their very last message.
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
//! `orders` is the module that tonic generates, and `Orders` your service. `Methods` say which methods there
//! are, and bound every label; they come from the descriptor set that `build.rs` writes beside the code:
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
//! /// A layered client has a name, and so fits in a struct.
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
//! # Around one service, in axum, or by a setting
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_metrics_layer::{MetricsLayer, option_layer};
//!
//! let layer = MetricsLayer::server();
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
//! # What is counted
//!
//! Names and labels are those of go-grpc-prometheus, so that the dashboards and alerts that exist work;
//! in place of `server`, a client has `client`.
//!
//! | family | type | labels besides the three |
//! |---|---|---|
//! | `grpc_server_started_total` | counter | |
//! | `grpc_server_handled_total` | counter | `grpc_code` |
//! | `grpc_server_handling_seconds` | histogram | |
//! | `grpc_server_msg_received_total`, `grpc_server_msg_sent_total` | counters | |
//! | `grpc_server_in_flight` | gauge | |
//! | `grpc_server_refused_total`, not on clients | counter | `refused_by`, `reason`, `shadow` |
//! | `grpc_server_panics_total`, not on clients | counter | |
//! | `grpc_server_msg_received_bytes`, `grpc_server_msg_sent_bytes`, with [`message_bytes`](MetricsLayer::message_bytes) | histograms | |
//!
//! All have `grpc_type` (`unary`, `client_stream`, `server_stream`, `bidi_stream`, or `unknown`
//! without a descriptor set), `grpc_service` (`pkg.Svc`) and `grpc_method`, and the
//! [`Labels`] that you add. `grpc_code` is spelled as in Go, `NotFound`, or
//! [as in the gRPC documents](CodeSpelling::UpperSnake), `NOT_FOUND`.
//!
//! [`Names::OpenTelemetry`] replaces those above that OpenTelemetry has a name for: the first four
//! rows are then
//!
//! | family | type | labels |
//! |---|---|---|
//! | `rpc_server_call_duration_seconds` | histogram | `rpc_system_name` (`grpc`), `rpc_method` (`pkg.Svc/Method`), `rpc_response_status_code`, and `error_type` if the call failed |
//!
//! and the others have `rpc_system_name` and `rpc_method` in place of the three. On a client each code
//! but `OK` is a failure, on a server those six are that are its own fault. That histogram is there
//! once per code, which makes a scrape several times as long. What OpenTelemetry asks of clients
//! besides, `server_address` and `server_port`, is one [constant](Labels::constant) each.
//!
//! # When it is counted
//!
//! | when | what |
//! |---|---|
//! | a call begins | `in_flight` up, `started` |
//! | the head of the first answer for a method makes it [known](#which-methods-there-are) | its call moves from `unknown` to that method, and is `started` there |
//! | a message has passed, whole | `msg_received` or `msg_sent`, and its size |
//! | the call is over, [whichever way](tonic_call#how-a-call-ends) | `handled`, `handling`, `refused`, `panics`, then `in_flight` down |
//!
//! A stream is over when its last message is sent and its status is known, or when it is given up:
//! that is when its duration ends. A call that is dropped, at any point, by a caller that left, an
//! expired deadline or a panic, is handled too, and nothing stays in flight. At any one moment a call
//! that has begun counts as in flight, as handled or as both, never as neither. A scrape is not one
//! moment: the exporter reads counters first, then gauges, so a call that ends in between may be
//! handled only in the next.
//!
//! A handled call is counted once for each layer that refused it or, in shadow, would have, and once
//! in `panics` if anything panicked in it, recovered or not. Layers say so in
//! [`CallInfo`](tonic_call::CallInfo), to those outside them: put this layer outside those that
//! authenticate, limit and recover. What comes to it is counted right in any order, panics included;
//! what is refused outside it does not come. Health and reflection are counted as any service is,
//! unless they are [left out](MetricsLayer::exclude_infrastructure).
//!
//! # Which methods there are
//!
//! With [`methods`](MetricsLayer::methods), exactly those of the descriptor set: all of them are
//! registered at zero with all 17 codes, so that the first failure is an increase and not a new
//! series.
//!
//! Without, a method is counted under its name from the first call on that the service answers: until the
//! head of that answer, the call is in flight as `unknown`, and nothing else of it is counted. On a client
//! it is so from the first call on that generated code makes. At most 1,000 methods are learnt.
//! Everything else is one method, `unknown`, with OpenTelemetry's names `_OTHER`: a scanner that
//! sends a hundred thousand paths adds no more than that. See [`KnownMethods`](tonic_call::KnownMethods).
//!
//! # What is never a label
//!
//! A peer's address, a subject, an issuer, a key id, a path that is not known, or any text that a
//! caller chose. [`Labels`] have declared values, and `other`; together they have at most
//! [100 combinations](MAX_COMBINATIONS). Of refusals, a hundred reasons are told apart for each
//! method, and further ones are `other`.
//!
//! # If you see no metrics
//!
//! - **No recorder**: until one is installed with [`metrics`], calls are not counted, and one `WARN` says so at the
//!   first call (target `tonic_metrics_layer`; with a filter of `EnvFilter`, add `tonic_metrics_layer=warn`).
//! - **Another version of `metrics`**: a recorder counts for the version of that crate that it was built for:
//!   `cargo tree -i metrics` must show one.
//! - **A family that is absent**: without [`methods`](MetricsLayer::methods) a series is there once its first call
//!   has begun.
//! - **The place**: what a layer further out refuses does not come here: put this one outside it. A layer made by
//!   `client()` that seems to stand on a server says so, once, at `WARN`: its families are `grpc_client_*`.
//!
//! # Which requests are counted
//!
//! On a server, whatever its verb and content type, every request that runs a method: see
//! [`tonic_call`](tonic_call#which-requests-are-calls). Pages and probes that nothing answers as gRPC are not.
//! An answer of HTTP 4xx without a `grpc-status` is `InvalidArgument`: any stranger can cause it.
//!
//! What tonic's server refuses or ends outside all layers does not reach this one: calls that are shed
//! (`load_shed`), which the in-flight limit of `tonic-ratelimit-layer` shows; and `Server::timeout`, whose
//! calls look as if their caller had left unless it is [named](MetricsLayer::server_timeout).
//!
//! # With tonic-web and CORS
//!
//! Outermost the CORS layer, which answers preflights itself; then this layer; then `GrpcWebLayer`. From
//! there it reads gRPC-Web, binary and text, and sees what tonic-web refuses. Inside `GrpcWebLayer` it sees
//! plain gRPC.
//!
//! # Where it is counted
//!
//! In the recorder that is installed with [`metrics`], which may be any, also one that is installed
//! after the layer was made. Until then calls are not watched at all. Each handle lives in the recorder
//! that was installed when it was first needed; for one of its own, or several, there is
//! [`with_recorder`](MetricsLayer::with_recorder), and not a local recorder of a thread. A recorder must be told of buckets: these are
//! [`HANDLING_SECONDS_BUCKETS`], [`CALL_DURATION_SECONDS_BUCKETS`] and [`MESSAGE_BYTES_BUCKETS`]. The
//! feature `exporter` does so for Prometheus.
//!
//! # One pass for several observers
//!
//! ```
//! # use tonic_call_test_kit::Recorder;
//! use tonic_call::ObserveLayer;
//! use tonic_metrics_layer::MetricsLayer;
//!
//! # let other = Recorder::new();
//! let metrics = MetricsLayer::server();
//! let layer = ObserveLayer::server((metrics.observer(), other)).known(metrics.known_methods());
//! ```
//!
//! # What it costs
//!
//! Handles are looked up once per method and code. A call allocates what [`tonic_call`] does for any
//! observer, and on a server its [`CallInfo`](tonic_call::CallInfo) if no other layer has; a message
//! allocates nothing. A method takes about a kilobyte for each combination of labels, besides what
//! the recorder takes.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `exporter` | no | `exporter::Prometheus` sets up `metrics-exporter-prometheus` with buckets and upkeep, and serves `/metrics` on an address of its own |

mod buckets;
mod by_code;
mod call_series;
#[cfg(feature = "exporter")]
pub mod exporter;
mod families;
mod labels;
mod layer;
mod method;
mod names;
mod observer;
mod refused;
mod series;
mod settings;
mod table;

pub use self::buckets::{
    CALL_DURATION_SECONDS_BUCKETS, HANDLING_SECONDS_BUCKETS, MESSAGE_BYTES_BUCKETS,
};
pub use self::labels::{LabelError, Labels, MAX_COMBINATIONS};
pub use self::layer::MetricsLayer;
pub use self::names::{CodeSpelling, Names};
pub use self::observer::{Metrics, MetricsCall};
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};
