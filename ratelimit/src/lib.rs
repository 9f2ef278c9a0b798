//! Lets only so many calls through: per method, per caller, in a time and at a time.
//!
//! ```toml
//! [dependencies]
//! tonic-ratelimit-layer = "0.1"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
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
//! use tonic_ratelimit_layer::{InFlight, Key, Methods, Quota, RateLimitLayer};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     let per_caller = |calls| Quota::per_second(calls).by(Key::principal());
//!     let watches = InFlight::new(10).by(Key::principal());
//!     // A limit for every method that has no rule of its own, and two rules.
//!     let limits = RateLimitLayer::server(per_caller(100).burst(200))
//!         .method("orders.v1.OrderService", "CreateOrder", [per_caller(5), Quota::per_second(50)])
//!         .method("orders.v1.OrderService", "WatchOrder", (per_caller(1), watches))
//!         .methods(&methods)
//!         .build()?;
//!
//!     Server::builder()
//!         .layer(limits)
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` your service. `Methods` say which methods there
//! are: a rule for any other is an error of `build`. They come from the descriptor set that `build.rs` writes
//! beside the code:
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
//! # Around one service, in axum, or by a setting
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_ratelimit_layer::{Quota, RateLimitLayer, option_layer};
//!
//! let layer = RateLimitLayer::server(Quota::per_second(100)).build()?;
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
//! # What is limited
//!
//! A [`Quota`] is a rate with a burst: of the calls that come at once so many pass, and they come back one
//! after the other (GCRA). An [`InFlight`] is how many calls may be under way. Several of them are a
//! [`Rule`]: a call takes from all of them, or, if one says no, from none, also when many come at the same
//! moment.
//!
//! [`Limits`] are rules per method, per service, and by default. The most exact one alone counts: with a rule
//! for a method, that for its service and the default say nothing of it. The methods that a rule is for share
//! its limits; [`per_method`](Quota::per_method) gives each its own. With
//! [`methods`](RateLimitBuilder::methods) a rule for a method that does not exist is an error when the layer
//! is built, and so is at any time what is impossible: a quota of nothing, a name with a slash, two rules for
//! the same method. Health and reflection
//! services are not limited by the default, unless [asked for](RateLimitBuilder::include_infrastructure). A
//! path that is no method's is limited by the default.
//!
//! A call counts when it comes, as one, or as [so many](Quota::cost) as you say. One that
//! [costs](Quota::cost_by) more than the whole burst can never pass, and is told so.
//!
//! # By what key
//!
//! | key | calls share a limit |
//! |---|---|
//! | [`Key::global`] | all |
//! | [`Key::peer`] | from one address; of IPv6, from one /64; behind [proxies](RateLimitBuilder::behind), as they say |
//! | [`Key::principal`] | of one caller, whom an authenticating layer further out knows; the unknown together |
//! | [`Key::metadata`] | with the same value of some metadata; those without together |
//! | [`Key::function`] | of which a function says the same |
//!
//! [`keys`] says which to choose, behind proxies and meshes too.
//!
//! # What the caller sees
//!
//! An answer in the head alone, before a byte of the request's body is read, whatever the kind of the call:
//!
//! | what is wrong | code | reason | when to come back |
//! |---|---|---|---|
//! | a quota is used up | `RESOURCE_EXHAUSTED` | `RATE_LIMITED` | exactly: when all quotas that refuse let it pass |
//! | the call costs more than a burst | `RESOURCE_EXHAUSTED` | `RATE_LIMITED` | never |
//! | the caller has too many calls in flight | `RESOURCE_EXHAUSTED` | `CONCURRENCY_LIMITED` | nobody knows, or as [set](InFlight::retry_after) |
//! | the server has too many calls in flight | `UNAVAILABLE` | `OVERLOADED` | nobody knows, or as [set](InFlight::retry_after) |
//!
//! With it come, as `google.rpc` details, an `ErrorInfo` (the reason, and the limit's name as `limit`), a
//! `QuotaFailure` with each limit that refuses (its name and size, and the kind of its key, never the key),
//! and, if there is a time to come back, a `RetryInfo`. As metadata:
//!
//! | metadata | says |
//! |---|---|
//! | `grpc-retry-pushback-ms` | the same time, rounded up, to clients with a retry policy; `-1` (don't retry) if it is over 10 s, or there is none |
//! | `ratelimit-policy` | the limits that refuse: `"5/s:principal";q=10;w=2` is ten calls in two seconds |
//! | `ratelimit` | what they have left, and in how many seconds they have more: `"5/s:principal";r=0;t=1` |
//!
//! The last two are those of the [IETF's draft]; with
//! [`fields_on_accepted`](RateLimitBuilder::fields_on_accepted) they stand in the head of accepted calls too,
//! where `t` says when the whole burst is there again. To a request that is not gRPC (its content type is not
//! `application/grpc…`) the HTTP status is 429 or 503, with `retry-after`.
//!
//! [IETF's draft]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
//!
//! # What the operator sees
//!
//! - In the call's log line and in metrics, by [`CallInfo`](tonic_call::CallInfo): that `ratelimit` refused
//!   it, the reason, and the fields `ratelimit.limit`, `ratelimit.key` (its kind) and `ratelimit.wait_ms`; of a
//!   limit in shadow mode that would have refused it, `ratelimit.shadow`, its name.
//! - In [`on_decision`](RateLimitBuilder::on_decision), for each call that has a limit.
//!   [`Decision::result`] and [`Decision::limit`] fit labels.
//! - In an event of `tracing` at `DEBUG` for each refusal, at `ERROR` for a panic in a function of yours. At
//!   `INFO`, once and without [`methods`](RateLimitBuilder::methods): the rules that none of the first 1,000
//!   calls that passed has matched. At
//!   `WARN`, once: when a limit has as many keys as it may have; when the first 1,000 calls of limits by
//!   address all came from loopback or had none; when those of limits by principal had none.
//!
//! With [`shadow`](Quota::shadow) a limit is only tried out: it counts, what it would refuse is reported in all
//! these ways, marked as a shadow, and the call passes. It takes nothing from a call that it or another limit
//! refuses.
//!
//! # Calls in flight
//!
//! A call is in flight until it is really over: until its trailers are handed on, it fails, its caller goes
//! away, or what panicked is dropped. Its place is free before the caller sees the end, so that whoever makes
//! one call after the other needs one place. A stream whose caller reads nothing is in flight too; a deadline
//! ends it.
//!
//! # What an open call costs
//!
//! A quota limits how many calls begin, not how many are open: at ten calls per second a caller has 36,000 watches
//! open after an hour. In the example service `orders`, with all layers of this workspace on, a watch that says
//! nothing holds 14 KB (resident memory, 4,000 of them on four connections, release build, HTTP/2 included). So
//! give each caller, and the server, an [`InFlight`] limit; as a layer of its own it holds for all methods:
//!
//! ```
//! # fn main() -> Result<(), tonic_ratelimit_layer::BuildError> {
//! use tonic_ratelimit_layer::{InFlight, Key, RateLimitLayer};
//!
//! let per_caller = InFlight::new(1_000).by(Key::principal());
//! let in_flight = RateLimitLayer::server([per_caller, InFlight::new(10_000)]).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! It does not limit health and reflection, whose streams need a rule of their own: by address, since anybody can
//! open them. Limit below gRPC as well: `Server::max_concurrent_streams` (tonic sets no limit), and the number
//! and the idle time of connections, for which tonic has no setting. The example service `orders` has all of
//! them.
//!
//! # Replacing limits while they run
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tonic_ratelimit_layer::{Limits, Quota, RateLimitLayer};
//!
//! let layer = RateLimitLayer::server(Quota::per_second(100)).build()?;
//! let handle = layer.handle();
//!
//! // Later, on a signal for example:
//! handle.replace(Limits::of(Quota::per_second(50)).service("orders.v1.Admin", Quota::per_minute(1)))?;
//! # Ok(())
//! # }
//! ```
//!
//! What callers have used up of a quota that stays the same stays used up, and calls in flight stay counted:
//! see [`Handle::replace`].
//!
//! # How much memory
//!
//! Each limit remembers at most [so many](RateLimitBuilder::keys_at_most) keys, by default
//! [`KEYS_AT_MOST`], of which each costs 50 to 100 bytes, however long its text. A key whose burst is whole
//! again is forgotten, some at a time while calls come, so that none waits for a cleaning. When there is no
//! room, new keys share one bucket of the same size: whoever invents keys neither fills the memory nor pushes
//! anybody out. But honest newcomers then share that bucket with him, until keys are forgotten: choose keys
//! that cost something to invent, or a number that is enough. A warning says when it first happens, and
//! [`Handle::usage`] gives, for gauges, how many keys each limit keeps and whether that bucket is in use now.
//!
//! # Where to put it
//!
//! Inside what observes (metrics, logs, spans), so that refusals are seen. Limits by address outside of
//! authentication, so that a flood of bad tokens costs little; limits by principal inside of it: as two
//! layers. State is one per layer, and shared by its clones. In an axum router, all requests that come through
//! it are limited, of gRPC or not.
//!
//! # With tonic-web and CORS
//!
//! Outermost the CORS layer, which answers preflights itself; then this layer; then `GrpcWebLayer`. It answers a
//! caller of gRPC-Web in gRPC-Web. A preflight that reaches it is refused, with one WARN that says
//! so: a tonic service would run its method.
//!
//! # What it does not do
//!
//! - **Limits across servers**: each server counts for itself. With *n* of them behind a balancer, give each
//!   an *n*th.
//! - **Queueing**: a call passes or is refused, at once.
//! - **Messages**: a stream counts as one call, however many messages it has.
//! - **Remembering**: a server that starts anew has forgotten all.
//!
//! # What it costs
//!
//! No allocation for a call that passes, unless it is limited in flight (one), has more than four limits (one), the
//! fields are asked for, or a function of yours makes some. A limit costs a lock of a part of its keys, held for the
//! time of the decision; no function of yours runs under it.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `tls-connect-info` | yes | reads the caller's address below the TLS of an incoming of one's own (tonic's own TLS needs it not); brings rustls, without any cryptography |
//! | `axum` | no | reads the caller's address where `axum::serve` accepts the connections, and the router is made a service by `into_make_service_with_connect_info::<SocketAddr>()` |

mod answer;
mod build_error;
mod builder;
mod caller;
mod clock;
mod decide;
mod decision;
mod fields;
mod future;
mod handle;
mod hints;
mod in_flight;
mod key;
pub mod keys;
mod layer;
mod limits;
mod pace;
mod parse;
mod permits;
mod quota;
mod service;
mod settings;
mod settle;
mod store;
mod table;
mod usage;

pub use self::build_error::BuildError;
pub use self::builder::{KEYS_AT_MOST, RateLimitBuilder};
pub use self::clock::Clock;
pub use self::decision::{Decision, Reason};
pub use self::future::{ResponseBody, ResponseFuture};
pub use self::handle::Handle;
pub use self::in_flight::InFlight;
pub use self::key::Key;
pub use self::layer::RateLimitLayer;
pub use self::limits::{Limits, Rule};
pub use self::parse::ParseQuotaError;
pub use self::permits::Permits;
pub use self::quota::Quota;
pub use self::service::RateLimit;
pub use self::usage::Usage;
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};
