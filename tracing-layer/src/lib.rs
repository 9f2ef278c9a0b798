//! One OpenTelemetry span per gRPC call, true to its end, and joined across services.
//!
//! ```toml
//! [dependencies]
//! tonic-tracing-layer = "0.1"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
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
//!     // To http://localhost:4317, unless the environment says otherwise.
//!     let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
//!     let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
//!     opentelemetry::global::set_tracer_provider(provider.clone());
//!
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     Server::builder()
//!         .layer(TracingLayer::server().methods(&methods))
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     provider.shutdown()?; // sends what was not sent yet
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` your service. `Methods` say which methods there
//! are, and bound every span name; they come from the descriptor set that `build.rs` writes beside the code:
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
//! `shutdown` blocks until the exporter has sent it all, which needs a runtime that goes on meanwhile: on a
//! `current_thread` one, call it by `spawn_blocking`.
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
//! /// A layered client has a name, and so fits in a struct.
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
//! The channel hides where calls go, so the layer is told: see [`Target`]. Outside a layer that retries,
//! the span is the logical call with all its attempts, as the conventions have it; inside, each attempt has
//! one, and `previous-rpc-attempts` says how many came before it.
//!
//! # Around one service, in axum, or by a setting
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_tracing_layer::{TracingLayer, option_layer};
//!
//! let layer = TracingLayer::server();
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
//! # Beside `tracing-opentelemetry`
//!
//! The spans of calls are made through the OpenTelemetry API, which takes half the time. Spans of
//! `tracing` in a handler become their children all the same, if both end at one provider:
//!
//! ```
//! use opentelemetry::trace::TracerProvider as _;
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use tonic_tracing_layer::TracingLayer;
//! use tracing_subscriber::filter::{LevelFilter, Targets};
//! use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
//!
//! let provider = SdkTracerProvider::default();
//! let spans = tracing_opentelemetry::layer()
//!     .with_tracer(provider.tracer("orders"))
//!     // The span that `tonic-logging-layer` opens would stand between a call's and its handler's.
//!     .with_filter(
//!         Targets::new()
//!             .with_default(LevelFilter::INFO)
//!             .with_target("tonic_logging_layer::handler", LevelFilter::OFF),
//!     );
//! let subscriber = tracing_subscriber::registry().with(spans);
//! let layer = TracingLayer::server().with_tracer_provider(&provider);
//! # let _ = (subscriber, layer);
//! ```
//!
//! # If you see no spans
//!
//! - **No provider**: without one, calls have no spans, and one `WARN` says so at the first call (target
//!   `tonic_tracing_layer`; with a filter of `EnvFilter`, add `tonic_tracing_layer=warn`).
//! - **Another version of `opentelemetry`**: a provider is seen by the version of that crate that it was set with:
//!   `cargo tree -i opentelemetry` must show one.
//! - **An exporter that fails** says so by events with the targets `opentelemetry_sdk` and `opentelemetry-otlp`. A
//!   batch is sent every few seconds, and the last one by `shutdown`.
//! - **A sampler**: a parent that is not sampled makes none of its children sampled, by default.
//! - **The place**: what a layer further out refuses does not come here: put this one outside it. A layer made by
//!   `client()` that seems to stand on a server says so, once, at `WARN`.
//!
//! # What a span says
//!
//! By OpenTelemetry's semantic conventions for gRPC, 1.39 to 1.44; [`Conventions`] chooses others. The name
//! is the method, `pkg.Svc/Method`, and the kind is `SERVER` or `CLIENT`.
//!
//! | attribute | value | when it is set |
//! |---|---|---|
//! | `rpc.system.name` | `grpc` | at the start: a sampler sees it |
//! | `rpc.method` | `pkg.Svc/Method`, or `_OTHER` | at the start, or at the end if it is not known before |
//! | `rpc.method_original` | the path as it came, bounded and escaped | beside `_OTHER` |
//! | `server.address`, `server.port` | on a server what `:authority` says, on a client the [`Target`] | at the start |
//! | `network.peer.address`, `network.peer.port` | on a server, the other end of the connection; over a Unix socket its path, if it has one, and no port | if the span is recorded |
//! | `previous-rpc-attempts` | what `grpc-previous-rpc-attempts` says | if the span is recorded |
//! | `rpc.request.metadata.<name>`, `rpc.response.metadata.<name>` | a list of texts | if [allowed](TracingLayer::request_metadata) |
//! | `rpc.response.status_code` | `OK`, `NOT_FOUND` … | at the end |
//! | `error.type` | the same | at the end, if it is an error |
//!
//! The status is an error, with the call's status message, for every code but `OK` on a client, and on
//! a server for what is its own fault: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`,
//! `UNAVAILABLE` and `DATA_LOSS`. Otherwise it is unset; it is never `Ok`. Messages are no events:
//! the conventions have dropped those.
//!
//! # When it ends
//!
//! When the call is over, [whichever way](tonic_call#how-a-call-ends), and once: a stream with its last
//! message and its status. A call that is dropped is `CANCELLED`, or `DEADLINE_EXCEEDED` if its own
//! timeout has passed; one in which something panicked is `INTERNAL`.
//!
//! What tonic's server refuses or ends outside all layers does not reach this one: calls that are shed
//! (`load_shed`), which the in-flight limit of `tonic-ratelimit-layer` shows; and `Server::timeout`, whose
//! calls look as if their caller had left unless it is [named](TracingLayer::server_timeout).
//!
//! # Which method it is
//!
//! With [`methods`](TracingLayer::methods), exactly those of the descriptor set; all else is named
//! `grpc` and is `_OTHER`. Without, a method is known once the service [has answered for
//! it](tonic_call::KnownMethods). A call of one that is not known yet begins with its path for a
//! name, and without `rpc.method`: at the end it has both if it was answered, or if at least a
//! message of its request was taken, and is `_OTHER` if it was refused before. So a scanner can't make
//! names, at most 2,000 of 1,024 bytes are ever learnt, and only the sampler has less to go by in the first calls.
//!
//! # How the trace goes on
//!
//! A server's span is the child of the one that `traceparent` names, and takes `baggage` along; the context
//! is current while the handler and the response's stream are polled, and in clients called from there,
//! but never in anything else that runs on the thread. A client's span is the child of the current one and
//! is sent along. Both by W3C Trace Context and W3C Baggage, unless
//! [another propagator](TracingLayer::with_propagator) is given. What is malformed counts as
//! absent. Of `tracestate` 512 bytes are passed on, of `baggage` 64 members and 8,192 bytes.
//!
//! Calls that come from strangers can be roots of new traces: see
//! [`public_endpoint`](TracingLayer::public_endpoint).
//!
//! A task that a handler spawns has the call's context if it is given it:
//! `tokio::spawn(task.with_current_context())`, by `opentelemetry::context::FutureExt`. The same is true of a
//! layer that makes its calls in another task: tower's `Buffer` outside a client's layer makes its spans roots,
//! so put it inside.
//!
//! # The trace in other places
//!
//! [`current_trace_id`] tells a handler the trace, [`return_trace_id`](TracingLayer::return_trace_id) the
//! caller, and [`CallInfo::trace`](tonic_call::CallInfo::trace) other layers: put this one outside
//! `tonic-logging-layer`, and each line has the ids of its call's span.
//!
//! A panic, and an error in place of an answer, are exceptions. They are told to a
//! [logger provider](TracingLayer::with_logger_provider), as `rpc.server.call.exception` or
//! `rpc.client.call.exception`; of a panic that a `tonic-recovery-layer` inside this one recovered with its
//! text, and with its stack once panics are captured. The caller is told nothing of it.
//!
//! # What has no span
//!
//! Calls of health and reflection, those that [`filter`](TracingLayer::filter) leaves out, requests that
//! [are no calls](tonic_call#which-requests-are-calls), calls that have their span by a layer further out on the same server, and those in a context in
//! which [telemetry is suppressed](opentelemetry::Context::is_telemetry_suppressed), as an
//! exporter's own are: they are not touched at all.
//!
//! Where no tracer provider is set, neither before nor after the layer was made, one `WARN` says so, at
//! the first call. A trace that comes in is then still sent along.
//!
//! # With tonic-web and CORS
//!
//! Outermost the CORS layer, which answers preflights itself; then this layer; then `GrpcWebLayer`. From
//! there it reads gRPC-Web, binary and text, and sees what tonic-web refuses. Inside `GrpcWebLayer` it sees
//! plain gRPC.
//!
//! # What it costs
//!
//! A call that has no span costs looking up its name. One that is not sampled allocates what
//! [`tonic_call`] does for any observer, its [`CallInfo`](tonic_call::CallInfo), its context and what the
//! sampler is shown; one that is sampled what the SDK keeps of it besides. A message allocates nothing.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `tls-connect-info` | yes | tells the peer below the TLS of an incoming of one's own (tonic's own TLS needs it not); brings rustls, without any cryptography |
//! | `axum` | no | tells the peer where `axum::serve` accepts the connections, and the router is made a service by `into_make_service_with_connect_info::<SocketAddr>()` |

mod baggage;
mod call;
mod conventions;
mod exception;
mod instrument;
mod layer;
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
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};
