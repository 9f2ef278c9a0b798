//! One gRPC call, seen from HTTP: what tower layers for tonic share.
//!
//! Metrics, logs and spans are the same act: watch one call from its request to its one ending.
//! That act is written here once, for servers and clients, for unary and streaming calls, to their
//! very last message; what each of them does with it is an [`Observer`].
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
//! use tonic_call::{Call, End, ObserveLayer, Observer, Rpc, Side};
//!
//! /// Prints one line per call, when it is over.
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
//!         // Names of methods that are not served here are whatever a stranger sent.
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
//!     Server::builder()
//!         .layer(ObserveLayer::server(Print))
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
//! /// A layered client has a name, and so fits in a struct.
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
//! # Around one service, in axum, or by a setting
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
//! // Only if a setting says so: tower's own `option_layer` does not fit.
//! let maybe = Server::builder().layer(option_layer(is_on.then_some(layer))).add_service(orders);
//! # Ok(())
//! # }
//! ```
//!
//! # With tonic-web and CORS
//!
//! Outermost the CORS layer, which answers preflights itself; then the layers of this workspace; then
//! `GrpcWebLayer`:
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
//! # When the hooks are called
//!
//! | hook | when |
//! |---|---|
//! | [`Observer::begin`] | when the service is called; `None` says that the call is of no interest |
//! | [`Call::scope`] | around every piece of the call: making its future, polling future and bodies, dropping them |
//! | [`Call::responded`] | when the head of the response is here |
//! | [`Call::message`] | when a message has passed, whole; either way |
//! | [`Call::batch`] | when all messages of one frame have passed: for sums |
//! | [`Call::unwound`] | when a panic unwinds through a piece of the call, even after its end |
//! | [`Call::end`] | exactly once, whatever happens |
//!
//! # How a call ends
//!
//! | what happens | [`End`] | code |
//! |---|---|---|
//! | trailers, or a head that is the whole answer | `Status` | what they say; a number that gRPC does not define is `Unknown` |
//! | over without a status | `Missing` | by the HTTP status: gRPC's "HTTP to gRPC status code mapping"; on a server `InvalidArgument` for what strangers can cause |
//! | service or response body failed | `Error` | what the error means: see [`code_of_error`] |
//! | dropped before its end, at any point | `Dropped` | `Cancelled`; `DeadlineExceeded` if its own `grpc-timeout` had passed or was 5 ms away at most |
//! | a poll, a call or a destructor unwound | `Dropped` | `Internal` |
//! | the request broke off before its end | `Dropped` | as if dropped, whatever the service then answered: tonic makes `INTERNAL` of a caller that left |
//!
//! All layers around one call see the same ending: its deadline is counted from the outermost, and who gave
//! it up is decided once. On a client a request stream that fails by itself is an `Error` with its own code
//! and text.
//!
//! What tonic's server ends outside all layers looks as if the caller had left: `Server::timeout`, unless
//! it is [named](ObserveLayer::server_timeout). Calls that are shed (`load_shed`) don't reach layers at all.
//!
//! # Which requests are calls
//!
//! tonic runs a method for any verb and any content type, so a server's caller must not choose by those
//! whether it is seen:
//!
//! | request to a server | is a call |
//! |---|---|
//! | `POST` with `application/grpc…`, or with no content type | from its beginning |
//! | any other, of a method that is [known](KnownMethods) | from its beginning |
//! | any other | from the head of its answer, if that has a `grpc-status` or gRPC's content type, and is not the `UNIMPLEMENTED` of a router; or if a layer inside refused it, or anything in it panicked |
//!
//! A call that begins late keeps its time of arrival, its [`CallInfo`], and the messages before the head.
//! Pages, and probes that nothing answers as gRPC, are no calls. On a client all that is sent is a call.
//! A layer made by `client` whose calls seem to come in over a connection (there is a [`Peer`], and no generated
//! client made them) says so once, at `WARN` with the target `tonic_call`: it should probably be `server`.
//!
//! gRPC-Web, binary and text, is read as gRPC is: with tonic-web, layers may stand on either side of it. The
//! CORS layer stands outside all others.
//!
//! A client sees an expired timer of tonic's as `DeadlineExceeded`, although tonic tells its caller
//! `Cancelled`. A call begins when the service is called: one that fails before, because `poll_ready`
//! fails, is not seen.
//!
//! # What layers share besides
//!
//! | type | what for |
//! |---|---|
//! | [`Rpc`] | the name of the method that is called |
//! | [`KnownMethods`], [`Methods`] | which methods are served here, learnt or from a descriptor set: what bounds every label |
//! | [`MethodTable`], [`UncalledRules`] | settings per method, service, or by default, and which of them no call matches |
//! | [`CallInfo`] | what layers tell each other of a call, and what ended it |
//! | [`Rejection`], [`AnswerBody`], [`AnswerFuture`] | an answer of the layer itself |
//! | [`Cut`] | ends a call from outside, even while nobody polls it |
//! | [`Held`] | holds something until a call is really over: a permit |
//! | [`Deadline`] | `grpc-timeout`, and how long is left |
//! | [`Stopwatch`] | how long a call takes, by the clock that tests pause |
//! | [`EarlyMessages`] | messages that pass before it is known to whom they belong |
//! | [`Protocol`] | gRPC or gRPC-Web: in which a call is read, and answered |
//! | [`code_name`], [`sanitize`], [`sanitize_lines`], [`AllowedMetadata`], [`KeptMetadata`] | what of a call may be shown, and how |
//! | [`Peer`], [`TrustedProxies`], [`ClientNetwork`] | who is at the other end, behind proxies too, and which addresses are one caller's |
//! | [`TraceParent`], [`TraceIds`] | which trace the call belongs to |
//! | [`guarded`], [`Guarded`], [`drop_caught`], [`panic_message`] | runs, polls and drops what may panic, where no recovery layer stands outside |
//! | [`BoxChannel`] | a nameable type for a layered client |
//! | [`option_layer`] | a layer that a setting turns on and off |
//! | [`is_grpc`], [`is_preflight`] | whether a request or response is gRPC's, or CORS's |
//! | [`GrpcService`] | what a layer can stand in front of |
//! | [`SideCheck`] | says that a layer for clients seems to stand on a server |
//!
//! # What it costs
//!
//! Two small allocations per call that is watched: what the response shares with the request body,
//! and tonic's box for that body. A message costs reading its prefix. A call that is of no interest
//! costs looking up its name.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `channel` | yes | reads what went wrong in a client `Channel`; without it a refused connection is `Unknown` |
//! | `server` | yes | reads what tonic's server says of a connection; without it there are no [`Peer`] and no [`TrustedProxies`] |
//! | `tls-connect-info` | yes | reads what there is below the TLS of an incoming of one's own (tonic's own TLS needs it not); brings rustls, without any cryptography |
//! | `axum` | no | reads axum's `ConnectInfo<SocketAddr>`, where `axum::serve` accepts the connections |

mod answer;
mod fit;
mod method;
mod observe;
#[cfg(feature = "server")]
mod peer;
mod show;

pub use self::answer::{
    AnswerBody, AnswerFuture, Cut, CutBody, CutFuture, Deadline, GRPC_TIMEOUT, Guarded, Held,
    HeldBody, MalformedTimeout, Rejection, drop_caught, format_timeout, guarded, panic_message,
    parse_timeout, timeout_of,
};
pub use self::fit::{
    BoxChannel, BoxError, GrpcService, OptionBody, OptionFuture, OptionLayer, OptionService,
    option_layer,
};
pub use self::method::{
    Idempotency, KnownMethod, KnownMethods, MAX_LEARNED_METHODS, Matches, Method, MethodKind,
    MethodTable, Methods, MethodsError, Rpc, RuleError, UncalledRules,
};
pub use self::observe::{
    Batch, Call, CallInfo, Cause, EarlyMessages, End, EndedBy, Flow, Message, Observe,
    ObserveLayer, Observer, Pair, Protocol, Refusal, ResponseBody, ResponseFuture, Side, SideCheck,
    Stopwatch, code_of_error, is_grpc, is_preflight,
};
#[cfg(feature = "server")]
pub use self::peer::{ClientNetwork, NetworkError, Peer, TrustedProxies, UnixPeer};
pub use self::show::{
    AllowedMetadata, CODES, FieldValue, Hex, KeptMetadata, MAX_LINES_BYTES, MAX_TEXT_BYTES,
    TraceIds, TraceParent, code_from_name, code_name, joined, sanitize, sanitize_lines,
};
