//! Limits the rate and the number of concurrent calls of a tonic server, per method and caller.
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
//! # Server
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
//!     // A default for all methods that have no rule of their own, and two rules.
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
//! `orders` is the module that tonic generates, and `Orders` your service. With `Methods`, a rule for a method that
//! does not exist is an error of `build`. They come from the descriptor set that `build.rs` writes:
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
//! # One service, axum, an optional layer
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
//! // One service of several.
//! let one = Server::builder().add_service(layer.named_layer(orders.clone()));
//! // The gRPC routes of an axum router.
//! let routes = Routes::new(orders.clone()).into_axum_router().layer(layer.clone());
//! let router: axum::Router = axum::Router::new().merge(routes);
//! // A layer that a setting turns on: tower's own `option_layer` does not compile here.
//! let maybe = Server::builder().layer(option_layer(is_on.then_some(layer))).add_service(orders);
//! # Ok(())
//! # }
//! ```
//!
//! There is no client side: the layer limits the calls that a server accepts.
//!
//! # When a call is limited
//!
//! When its head arrives, before the request body is read. A call passes or is refused at once; it never waits. A
//! [`Quota`] limits how many calls start: a burst, refilled at a rate. An [`InFlight`] limits how many run at the
//! same time, until each has really ended. Several of them make a [`Rule`], and [`Limits`] are rules per method, per
//! service, and by default: only the most specific rule applies. [`behaviour`] has the details: logs, metrics,
//! replacing limits at run time, memory and cost.
//!
//! | key | calls that share a limit |
//! |---|---|
//! | [`Key::global`] | all |
//! | [`Key::peer`] | those from one address (for IPv6 one /64), or as [trusted proxies](RateLimitBuilder::behind) report it |
//! | [`Key::principal`] | those of one authenticated caller; all calls without one |
//! | [`Key::metadata`] | those with the same value of a metadata key; all calls without it |
//! | [`Key::function`] | those for which a function returns the same value |
//!
//! [`keys`] helps to choose, also behind proxies and meshes.
//!
//! # What the caller sees
//!
//! A response without a body. Its details and metadata are in [`behaviour`](behaviour#refusals).
//!
//! | problem | code | reason | time to retry |
//! |---|---|---|---|
//! | a quota is used up | `RESOURCE_EXHAUSTED` | `RATE_LIMITED` | exact: when all of these quotas allow the call |
//! | the call costs more than a burst | `RESOURCE_EXHAUSTED` | `RATE_LIMITED` | never |
//! | the caller has too many calls in flight | `RESOURCE_EXHAUSTED` | `CONCURRENCY_LIMITED` | not known, or as [set](Limit::retry_after) |
//! | the server has too many calls in flight | `UNAVAILABLE` | `OVERLOADED` | not known, or as [set](Limit::retry_after) |
//! | Redis is away, and shared quotas are to refuse calls then | `UNAVAILABLE` | `LIMITER_UNAVAILABLE` | not known |
//!
//! # Pitfalls
//!
//! | pitfall | what to do |
//! |---|---|
//! | bad tokens are expensive to verify | limit by address outside of authentication, by principal inside of it: two layers |
//! | refusals are missing in logs or metrics | put this layer inside of those that observe calls |
//! | a browser's CORS preflight is refused, with one WARN | put the CORS layer outside this one, and `GrpcWebLayer` inside: this layer answers gRPC-Web callers in gRPC-Web |
//! | all callers share one limit, behind a sidecar, proxy or balancer | see [`keys`]; a WARN reports it after 1,000 calls |
//! | callers invent keys, and honest new callers share a bucket with them | see [memory](behaviour#memory); watch [`Handle::usage`] |
//! | streams pile up under a quota | add an [`InFlight`]: a quota limits how many calls start |
//! | several servers | each counts separately: give each of *n* servers an *n*th, or share quotas in Redis (feature `redis`) |
//! | a stream has many messages | it counts as one call: messages are not counted |
//! | a restart | all counts in the process are lost |
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `tls-connect-info` | yes | reads the caller's address below the TLS of a custom incoming (tonic's own TLS does not need it); adds rustls, without cryptography |
//! | `axum` | no | reads the caller's address if `axum::serve` accepts the connections, and the router becomes a service by `into_make_service_with_connect_info::<SocketAddr>()` |
//! | `redis` | no | quotas that several servers share, in Redis: one server, Sentinel or Cluster |
//! | `redis-tls-aws-lc`, `redis-tls-ring` | no | `redis` with TLS (`rediss://`), with the cryptography of aws-lc-rs or ring; with both, of aws-lc-rs |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod build_error;
mod builder;
mod clock;
mod decide;
mod layer;
mod limits;
#[cfg(all(test, feature = "redis"))]
#[path = "../tests/redis_server/mod.rs"]
mod redis_server;
#[cfg(feature = "redis")]
mod shared;

#[doc = include_str!("../docs/behaviour.md")]
pub mod behaviour {}

#[doc = include_str!("../docs/keys.md")]
pub mod keys {}

#[cfg(feature = "redis")]
#[doc = include_str!("../docs/redis.md")]
pub mod redis {}

pub use self::build_error::BuildError;
pub use self::builder::{DEFAULT_MAX_KEYS, RateLimitBuilder};
pub use self::clock::Clock;
pub use self::decide::{Decision, Reason, Source};
pub use self::layer::{Handle, Permits, RateLimit, RateLimitLayer, ResponseBody, ResponseFuture};
pub use self::limits::{
    Concurrency, InFlight, Key, Limit, Limits, ParseQuotaError, Quota, Rate, Rule, Usage,
};
#[cfg(feature = "redis")]
pub use self::shared::{Fallback, RedisStore, StoreError};
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};
