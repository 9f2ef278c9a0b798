//! One structured line per gRPC call, written at its real end.
//!
//! A call's line says what was called and by whom, how it ended and what ended it, how long it took to
//! its very last message, and how many messages it had. It is an event of
//! [`tracing`](https://docs.rs/tracing): any subscriber writes it, as JSON or as text.
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
//! `orders` is the module that tonic generates, and `Orders` your service. `Methods` say which methods there
//! are, and of which type each is; they come from the descriptor set that `build.rs` writes beside the code:
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
//! ```json
//! {"timestamp":"2026-11-22T15:04:05.123456Z","level":"INFO","message":"finished call",
//!  "rpc.system.name":"grpc","rpc.method":"orders.v1.OrderService/GetOrder",
//!  "rpc.response.status_code":"NOT_FOUND","grpc.component":"server","grpc.method_type":"unary",
//!  "duration_ms":1.204,"grpc.request.messages":1,"grpc.request.bytes":38,
//!  "grpc.response.messages":0,"grpc.response.bytes":0,
//!  "network.peer.address":"192.0.2.7","network.peer.port":51234,"grpc.timeout_ms":5000,
//!  "user_agent.original":"grpc-go/1.76.0","grpc.status_message":"no such order",
//!  "grpc.ended_by":"service","request_id":"8f14e45f","target":"tonic_logging_layer"}
//! ```
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
//! /// A layered client has a name, and so fits in a struct.
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
//! # Around one service, in axum, or by a setting
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_logging_layer::{LoggingLayer, option_layer};
//!
//! let layer = LoggingLayer::server();
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
//! # Decide what is written
//!
//! ```
//! use std::time::Duration;
//!
//! use tonic::Code;
//! use tonic_logging_layer::{KeyError, LoggingLayer};
//! use tracing::Level;
//!
//! # fn layer() -> Result<LoggingLayer, KeyError> {
//! let layer = LoggingLayer::server()
//!     .sample_successes(0.1)                       // every tenth `OK`; failures always
//!     .slow_after(Duration::from_secs(1))          // `WARN`, and never sampled out
//!     .level(|call| match call.code() {
//!         Code::NotFound => None,                  // no line
//!         _ => Some(call.default_level()),
//!     })
//!     .request_metadata(["x-tenant"])              // `rpc.request.metadata.x-tenant`
//!     .fields(["order.id"])?;                      // a key of its own for what a handler adds
//! # Ok(layer)
//! # }
//! # layer().unwrap();
//! ```
//!
//! # The keys of a line
//!
//! All are at the top level. What a call does not have is left out.
//!
//! | key | value |
//! |---|---|
//! | `rpc.system.name` | `grpc` |
//! | `rpc.method` | `pkg.Svc/Method`, known or not; a path that is not one, as it came |
//! | `rpc.response.status_code` | how it ended: `OK`, `NOT_FOUND`, … |
//! | `grpc.component` | `server` or `client` |
//! | `grpc.method_type` | `unary`, `client_stream`, `server_stream`, `bidi_stream`; `unknown` without [`methods`](LoggingLayer::methods) |
//! | `duration_ms` | from the request to the end, in milliseconds, to the microsecond |
//! | `grpc.request.messages`, `grpc.request.bytes` | how many messages the request had, and their bytes on the wire, without the 5 before each |
//! | `grpc.response.messages`, `grpc.response.bytes` | the same of the response |
//! | `network.peer.address`, `network.peer.port` | the other end of a server's connection; over a Unix socket its path, if it has one, and no port |
//! | `grpc.timeout_ms` | how long the caller waits |
//! | `user_agent.original` | the caller's `user-agent` |
//! | `enduser.id` | who called, if an authenticating layer said so |
//! | `grpc.status_message` | what the status says in words, or the error, if it did not end `OK` |
//! | `grpc.ended_by` | what ended it: `service`, `caller`, `deadline`, `panic`, `refusal`, or on a client `transport` |
//! | `grpc.refused_by`, `grpc.refused_reason` | which layer refused it, and why |
//! | `request_id` | the request's `x-request-id` |
//! | `trace_id`, `span_id` | as a tracing layer said, or as the request's `traceparent` says |
//! | `rpc.request.metadata.<name>`, `rpc.response.metadata.<name>` | metadata from the allow-lists |
//! | `auth.check`, `auth.expected`, `auth.received` | which check of a caller's credentials failed, and how |
//! | `ratelimit.limit`, `ratelimit.key`, `ratelimit.wait_ms` | which limit refused it, the kind of its key, and when to come back |
//! | `ratelimit.shadow` | the limit in shadow mode that would have refused it |
//! | a declared key | what the handler [added](tonic_call::CallInfo::add_field) under it |
//! | `fields` | what else the handler added, as JSON; and what there is no room for beyond 40 declared keys |
//!
//! The names are those of OpenTelemetry's semantic conventions where they have one (v1.44), and of
//! go-grpc-middleware where that has one.
//!
//! A handler adds fields through [`CallInfo`](tonic_call::CallInfo), of the crate `tonic-call`:
//!
//! ```
//! # use tonic_call::CallInfo;
//! fn handle(request: &tonic::Request<()>) {
//!     if let Some(call) = CallInfo::of(request.extensions()) {
//!         call.add_field("order.id", 4_711_u64);
//!     }
//! }
//! ```
//!
//! # Levels
//!
//! By code and side, as go-grpc-middleware has them: see [`default_level`]. Two exceptions: a call of an
//! unknown path is `INFO`, so that a scanner wakes nobody, and a slow call is at least `WARN`. The health
//! and reflection services are logged only when they fail, unless
//! [included](LoggingLayer::include_infrastructure): a watcher who leaves, or whose own deadline ends the
//! stream, is no failure.
//!
//! On a server an answer of HTTP 4xx without a `grpc-status` is `INVALID_ARGUMENT`, ended by the caller:
//! any stranger can cause it.
//!
//! # Refusals in a flood
//!
//! Any client that can connect can be refused, without credentials and as often as the network carries it. Each
//! refusal is a line of about 700 bytes: one stranger writes gigabytes in an hour. On a server that strangers
//! reach, set [`refusals_per_second(10)`](LoggingLayer::refusals_per_second): what is left out is counted in
//! one line per method and reason, and metrics and [`on_finished`](LoggingLayer::on_finished) still see every
//! call.
//!
//! # When events are emitted
//!
//! | event | when | by default |
//! |---|---|---|
//! | `finished call` | once, when the call is over: trailers, error, cancel, deadline, panic or drop | yes |
//! | `refusals left out` | at the end of a second that had more of them than are [written](LoggingLayer::refusals_per_second) | no |
//! | `started call` | when its request is here | [no](LoggingLayer::starts) |
//! | `request received`, `response sent`, `request sent`, `response received` | a message has passed; `grpc.….messages` is its number, `grpc.….bytes` its size | [no](LoggingLayer::messages) |
//!
//! All have the target `tonic_logging_layer`, and are root events: they have the call's fields
//! themselves. A finished call's is emitted outside the span around the handler, whose fields would else
//! be rendered once more. [`on_finished`](LoggingLayer::on_finished) is called for every call that is over,
//! whether or not a line is written.
//!
//! On a server, a span `call` with the target `tonic_logging_layer::handler` is around the handler and
//! its streams, so that their own events carry `rpc.method`, `request_id` and `trace_id`. The health and
//! reflection services have none. The directive `tonic_logging_layer::handler=off` filters it out,
//! [`handler_span(false)`](LoggingLayer::handler_span)
//! turns it off.
//!
//! # If you see no lines
//!
//! - **No subscriber**: without one, events of `tracing` go nowhere. Call `tracing_subscriber::fmt().init()` at the
//!   start of `main`.
//! - **A filter**: `EnvFilter` lets through only `ERROR` if `RUST_LOG` is not set, and `RUST_LOG=my_service=info` only
//!   the events of `my_service`. Add the target of the lines: `RUST_LOG=my_service=info,tonic_logging_layer=info`.
//! - **A level**: a client's line of a call that went well is `DEBUG` (`tonic_logging_layer=debug`, or
//!   [`level`](LoggingLayer::level)); health and reflection have none unless they
//!   [fail](LoggingLayer::include_infrastructure).
//! - **The place**: what a layer further out refuses does not come here: put this one outside it. A layer made by
//!   `client()` that seems to stand on a server says so, once, at `WARN`.
//!
//! # Which requests are calls
//!
//! On a server, whatever its verb and content type, every request that runs a method: see
//! [`tonic_call`](tonic_call#which-requests-are-calls). Pages and probes that nothing answers as gRPC have no
//! line.
//!
//! What tonic's server refuses or ends outside all layers does not reach this one: calls that are shed
//! (`load_shed`), which the in-flight limit of `tonic-ratelimit-layer` shows; and `Server::timeout`, whose
//! calls look as if their caller had left unless it is [named](LoggingLayer::server_timeout).
//!
//! # With tonic-web and CORS
//!
//! Outermost the CORS layer, which answers preflights itself; then this layer; then `GrpcWebLayer`. From
//! there it reads gRPC-Web, binary and text, and sees what tonic-web refuses. Inside `GrpcWebLayer` it sees
//! plain gRPC.
//!
//! # What is never written
//!
//! `authorization`, `proxy-authorization`, `cookie`, `set-cookie` and binary metadata (`*-bin`), allowed
//! or not, and values marked as sensitive. Text from the wire is bounded to 1 KiB, and its control
//! characters are escaped: a call is one line, whatever it says. Payloads are not logged.
//!
//! # One pass with other observers
//!
//! Each layer costs its own look at the call. Several observers share one:
//!
//! ```
//! # use tonic_call::ObserveLayer;
//! # use tonic_logging_layer::LoggingLayer;
//! # fn both<O: tonic_call::Observer>(other: O) {
//! let logging = LoggingLayer::server();
//! let layer = ObserveLayer::server((other, logging.observer())).known(logging.known_methods());
//! # }
//! ```
//!
//! # A log reader that stalls
//!
//! A subscriber that writes to standard error or output waits for its reader. A pipe holds 64 KiB, some 80 lines:
//! when its reader stalls, each call that ends blocks a thread of the runtime, and soon the whole server stands
//! still, health checks and shutdown included. Write through a bounded queue that drops lines when it is full,
//! and count what it drops:
//!
//! ```ignore
//! // tracing-appender = "0.2"
//! let (writer, _guard) = NonBlockingBuilder::default()
//!     .buffered_lines_limit(10_000) // by default 128,000; drops what does not fit
//!     .finish(std::io::stderr());
//! let dropped = writer.error_counter(); // dropped.dropped_lines(), for a metric
//! tracing_subscriber::fmt().with_writer(writer).json().flatten_event(true).init();
//! // Keep `_guard` until the end of `main`: it writes the last lines, for a second at most.
//! ```
//!
//! A panic hook that writes to standard error blocks in the same way: send its text through the same writer. The
//! example service `orders` does so, and exports `log_lines_dropped_total`.
//!
//! # What it costs
//!
//! An open call holds what its line needs until the end: of a stream without end that is memory, and no line.
//! In the example service `orders`, with all layers of this workspace on, a watch that says nothing holds 14 KB
//! (resident memory, 4,000 of them on four connections, release build, HTTP/2 included). Limit how many calls are open:
//! `InFlight` of `tonic-ratelimit-layer`.
//!
//! Besides what [watching](tonic_call#what-it-costs) costs, two small allocations if no layer outside
//! has made the [`CallInfo`](tonic_call::CallInfo), and the event itself: in the benches a subscriber
//! that writes JSON takes about 2.5 µs for the line, and 0.8 µs for the span around the handler. A level
//! that nobody listens to costs no formatting and no allocation, and if nobody listens to any, the call
//! is not watched.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `tls-connect-info` | yes | tells the peer below the TLS of an incoming of one's own (tonic's own TLS needs it not); brings rustls, without any cryptography |
//! | `axum` | no | tells the peer where `axum::serve` accepts the connections, and the router is made a service by `into_make_service_with_connect_info::<SocketAddr>()` |

mod facts;
mod finished;
mod key;
mod layer;
mod level;
mod line;
mod observer;
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
pub use self::observer::{Logging, LoggingCall};
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};
