//! Watches, answers and ends gRPC calls: the parts that tower layers for tonic share.
//!
//! Write an [`Observer`] to measure, log or trace calls. [`ObserveLayer`] turns it into a tower layer, which works on
//! servers and clients, and watches unary and streaming calls up to their end.
//!
//! ```toml
//! [dependencies]
//! tonic-call = "0.1"
//! http = "1"
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
//! # A layer on a server
//!
//! ```no_run
//! # use tonic_call_test_kit::{Orders, orders};
//! use orders::order_service_server::OrderServiceServer;
//! use tonic::transport::Server;
//! use tonic_call::{Call, End, Methods, ObserveLayer, Observer, Rpc, Side};
//!
//! /// Prints one line per call, at its end.
//! #[derive(Clone)]
//! struct Print;
//!
//! struct Printed {
//!     method: String,
//! }
//!
//! impl Observer for Print {
//!     type Call = Printed;
//!
//!     fn begin(&self, _: Side, rpc: &Rpc, _: &mut http::request::Parts) -> Option<Printed> {
//!         // The name of an unknown method is text from the caller.
//!         let method = if rpc.known().is_some() { rpc.full() } else { "unknown" };
//!         Some(Printed { method: method.to_owned() })
//!     }
//! }
//!
//! impl Call for Printed {
//!     fn end(&self, end: End<'_>) {
//!         println!("{} {:?}", self.method, end.code());
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     Server::builder()
//!         .layer(ObserveLayer::server(Print).methods(&methods))
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! Each call prints one line, such as `orders.v1.OrderService/GetOrder Ok`.
//!
//! `orders` is the module that tonic generates, and `Orders` is your service. [`Methods`] lists the methods of the
//! descriptor set that `build.rs` writes. Without it, methods are learned from traffic, and the first call of each
//! method prints `unknown`: see [`KnownMethods`].
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
//! # A layer on a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_call::{BoxChannel, Call, End, ObserveLayer, Observer, Rpc, Side};
//! use tower::ServiceBuilder;
//!
//! /// Prints how each call ends.
//! #[derive(Clone)]
//! struct Print;
//!
//! impl Observer for Print {
//!     type Call = Print;
//!
//!     fn begin(&self, _: Side, _: &Rpc, _: &mut http::request::Parts) -> Option<Print> {
//!         Some(Print)
//!     }
//! }
//!
//! impl Call for Print {
//!     fn end(&self, end: End<'_>) {
//!         println!("{:?}", end.code());
//!     }
//! }
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
//!         .layer(ObserveLayer::client(Print))
//!         .service(channel);
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//! }
//! ```
//!
//! # Several observers in one pass
//!
//! [`observe!`] makes one layer of several, which costs less than a layer each:
//!
//! ```
//! # use tonic_call::{ObserveLayer, PassError};
//! # use tonic_call_test_kit::{Orders, Recorder, orders::order_service_server::OrderServiceServer};
//! # fn serve(tracing: Recorder, metrics: Recorder) -> Result<(), PassError> {
//! use tonic::transport::Server;
//! use tonic_call::observe;
//!
//! let server = Server::builder()
//!     .layer(observe![ObserveLayer::server(tracing), ObserveLayer::server(metrics)]?)
//!     .add_service(OrderServiceServer::new(Orders::default()));
//! # Ok(())
//! # }
//! ```
//!
//! # Around one service, in axum, or optional
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(observer: tonic_call_test_kit::Recorder, is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_call::{ObserveLayer, option_layer};
//!
//! let layer = ObserveLayer::server(observer);
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
//! # With tonic-web and CORS
//!
//! The CORS layer is outermost, because it answers preflights. Other layers may be outside or inside `GrpcWebLayer`:
//!
//! ```
//! # use tonic_call::ObserveLayer;
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn serve(observer: tonic_call_test_kit::Recorder, cors: tower_http::cors::CorsLayer) {
//! use tonic::transport::Server;
//! use tonic_web::GrpcWebLayer;
//!
//! let server = Server::builder()
//!     .accept_http1(true) // a browser without TLS has no HTTP/2
//!     .layer(cors)
//!     .layer(ObserveLayer::server(observer))
//!     .layer(GrpcWebLayer::new())
//!     .add_service(OrderServiceServer::new(Orders::default()));
//! # }
//! ```
//!
//! # gRPC-Web and Connect
//!
//! A layer in front of a service may translate another protocol into gRPC: tonic-web gRPC-Web, `tonic-connect-layer`
//! Connect. The layers inside see gRPC, and [`Protocol::of_call`] is the protocol of the caller: in logs, `grpc.protocol`;
//! in metrics, an optional label; in traces, the `rpc.system.name`. A layer of your own that translates a protocol inserts a
//! [`Protocol`] into the extensions of the request.
//!
//! # When the hooks are called
//!
//! | hook | when |
//! |---|---|
//! | [`Observer::begin`] | the service is called; `None` ignores the call |
//! | [`Call::scope`] | around each step: creating the response future, polling it or a body, dropping one that has not completed |
//! | [`Call::responded`] | the head of the response has arrived |
//! | [`Call::message`] | a whole message has passed, in either direction |
//! | [`Call::batch`] | all messages that one HTTP frame completes have passed; use it for sums |
//! | [`Call::unwound`] | a panic unwinds through a step of the call, even after its end |
//! | [`Call::end`] | exactly once, however the call ends: see [`End`] |
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | use a method's name as a label without a check | callers can invent labels | check [`Rpc::known`] first |
//! | decide by the content type which requests to watch | callers can hide: see [`Observer::begin`] | let [`ObserveLayer`] decide |
//! | set `Server::timeout` | the calls that it ends look as if the caller had left | set [`ObserveLayer::server_timeout`] to the same time |
//! | put a layer outside the CORS layer | the layer gets preflights | put the CORS layer outermost |
//! | use a `client` layer on a server | one `WARN` event with the target `tonic_call` | use `server` |
//! | let an observer panic | the process may abort: hooks also run during unwinding | never panic in a hook |
//!
//! # The parts
//!
//! | part | for |
//! |---|---|
//! | [`Observer`], [`Call`], [`observe!`], [`End`], [`CallInfo`], [`Message`], [`MessageLimit`], [`Stopwatch`], [`Protocol`] | watching a call |
//! | [`code_of_error`], [`as_error`], [`code_of_head`], [`delivery_of_error`], [`Delivery`], [`lost_connection`] | what an error means: its code, and whether the server can have processed the call |
//! | [`Rpc`], [`KnownMethods`], [`Methods`], [`MethodTable`], [`UncalledRules`] | which method is called, and settings per method |
//! | [`Rejection`], [`AnswerBody`], [`AnswerFuture`], [`Cut`], [`Held`], [`Deadline`], [`Alarm`], [`guarded`] | answering instead of the service, and ending a call from outside |
//! | [`Replay`], [`ReplayBudget`] | requests that can be sent again |
//! | [`sanitize`], [`AllowedMetadata`], [`FieldValue`], [`code_name`], [`TraceIds`], [`Hex`], [`ErrorChain`] | making parts of a call safe to show in logs and spans |
//! | [`Peer`], [`TrustedProxies`], [`ClientNetwork`], [`SpiffeId`] | the address of the caller, also behind proxies, and the name of a workload |
//! | `ServiceConfig`, [`WaitForReady`] | gRPC's service config, which several layers read, and what one call changes of it |
//! | [`BoundedStore`], [`KeySeeds`] | one value per key, in a store of bounded size |
//! | [`GrpcService`], [`BoxChannel`], [`Encrypted`], [`option_layer`] | fitting a layer around services and channels |
//!
//! # Cost
//!
//! A watched call costs two small allocations: the state that response and request body share, and tonic's box for
//! the request body. Each message costs reading its 5-byte prefix. A call that the observer ignores costs a look-up
//! of its method.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `channel` | yes | reads the errors of a client `Channel`; without it a refused connection is `Unknown` |
//! | `server` | yes | reads the connect info of tonic's server: [`Peer`], [`TrustedProxies`] |
//! | `tls-connect-info` | yes | reads the connect info below the TLS of your own incoming stream; brings rustls, without cryptography |
//! | `service-config` | no | reads gRPC's service config: `ServiceConfig` |
//! | `axum` | no | reads axum's `ConnectInfo<SocketAddr>`, for servers run by `axum::serve` |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod bounded;
#[cfg(feature = "service-config")]
mod config;
mod fit;
mod method;
mod observe;
mod peer;
mod replay;
mod show;

pub use self::answer::{
    Alarm, AnswerBody, AnswerFuture, Cut, CutBody, CutFuture, Deadline, DeadlineScope,
    GRPC_TIMEOUT, Guarded, Held, HeldBody, MalformedTimeout, Rejection, drop_caught,
    format_timeout, guarded, panic_message, parse_timeout, timeout_of,
};
pub use self::bounded::{BoundedStore, EntryId, KeyHash, KeySeeds, LockedEntry, StoreUsage};
#[cfg(feature = "service-config")]
pub use self::config::{
    ConfigError, LoadBalancing, MethodConfig, RetryPolicy, RetryThrottling, ServiceConfig,
};
pub use self::fit::{
    BoxChannel, BoxError, Encrypted, GrpcService, OptionBody, OptionFuture, OptionLayer,
    OptionService, WaitForReady, option_layer,
};
pub use self::method::{
    Idempotency, KnownMethod, KnownMethods, MAX_LEARNED_METHODS, Matches, Method, MethodKind,
    MethodTable, Methods, MethodsError, Rpc, RuleError, UncalledRules,
};
pub use self::observe::headers::{find as find_header, find_each as find_headers};
#[doc(hidden)]
pub use self::observe::observing;
pub use self::observe::{
    Batch, Call, CallInfo, Cause, Delivery, EarlyMessages, End, EndedBy, Flow, Message,
    MessageLimit, Observe, ObserveLayer, Observer, Observing, Pair, Pass, PassError, Protocol,
    Refusal, ResponseBody, ResponseFuture, Side, SideCheck, Stopwatch, as_error, code_of_error,
    code_of_head, delivery_of_error, is_grpc, is_preflight, lost_connection, time_of_day,
};
#[cfg(feature = "server")]
pub use self::peer::{ClientNetwork, NetworkError, Peer, PeerAddress, TrustedProxies, UnixPeer};
pub use self::peer::{SpiffeId, SpiffeIdError};
pub use self::replay::{AnsweredRequest, Replay, ReplayBody, ReplayBudget};
pub use self::show::{
    AllowedMetadata, CODES, ErrorChain, FieldValue, Hex, KeptMetadata, MAX_LINES_BYTES,
    MAX_TEXT_BYTES, TraceIds, TraceParent, code_from_name, code_name, joined, sanitize,
    sanitize_lines, sanitize_str,
};
