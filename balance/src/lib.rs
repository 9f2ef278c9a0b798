//! Spreads the calls of a tonic client over several servers, and knows which of them are connected.
//!
//! ```toml
//! [dependencies]
//! tonic-balance = "0.1"
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
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::Endpoint;
//! use tonic_balance::Balanced;
//!
//! /// `Balanced` is one type, with any connector: it fits in a struct.
//! struct Billing {
//!     orders: OrderServiceClient<Balanced>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // All addresses of this name; it is resolved again every 30 seconds, and when a connection is lost.
//!     let endpoint = Endpoint::from_static("http://orders.shop.svc.cluster.local:50051");
//!     let channel = Balanced::host(endpoint).build();
//!
//!     let billing = Billing { orders: OrderServiceClient::new(channel) };
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates:
//!
//! ```ignore
//! // build.rs
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     tonic_prost_build::configure().compile_protos(&["proto/orders.proto"], &["proto"])?;
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
//! [`Balanced`] takes the place of a `Channel`: layers fit around it, and calls of all four kinds go through it. The
//! [`Endpoint`](tonic::transport::Endpoint) has its usual meaning for every connection: HTTP/2 windows, limits,
//! time-outs, user agent, TLS. Its URI is the `:authority` of each call and the name in the server's certificate,
//! whatever the address.
//!
//! **In Kubernetes** the name must be that of a headless service (`clusterIP: None`). [`kubernetes`] has the manifest,
//! what happens in a roll-out, and what the server must do.
//!
//! # Over a list, or a discovery of your own
//!
//! ```no_run
//! # use tokio::sync::mpsc;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tokio_stream::wrappers::ReceiverStream;
//! use tonic::transport::Endpoint;
//! use tonic_balance::{Address, Balanced, Change, Policy};
//!
//! let endpoint = Endpoint::from_static("http://orders.example");
//! let addresses: [Address; 2] = ["10.0.0.1:50051".parse()?, "10.0.0.2:50051".parse()?];
//! let channel = Balanced::list(endpoint.clone(), addresses).policy(Policy::PickFirst).build();
//!
//! let (changes, received) = mpsc::channel(16);
//! let channel = Balanced::discover(endpoint, ReceiverStream::new(received)).build();
//! changes.send(Change::Add("10.0.0.3:50051".parse()?)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! `ReceiverStream` is in the crate `tokio-stream`. [`Balanced::resolve`] calls a function of yours where
//! [`Balanced::host`] calls the operating system.
//!
//! # From a service config
//!
//! With the feature `service-config`, the policy, the health check and `waitForReady` come from gRPC's service config,
//! which `tonic-retry-layer` and `tonic-deadline-layer` read too:
//!
//! ```no_run
//! # #[cfg(feature = "service-config")]
//! # fn build(endpoint: tonic::transport::Endpoint) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic_balance::{Balanced, ServiceConfig};
//!
//! let config = ServiceConfig::from_json(
//!     r#"{
//!         "loadBalancingConfig": [{"round_robin": {}}],
//!         "healthCheckConfig": {"serviceName": "orders.v1.OrderService"},
//!         "methodConfig": [{"name": [{}], "waitForReady": true}]
//!     }"#,
//! )?;
//! let channel = Balanced::host(endpoint).service_config(&config).build();
//! # Ok(())
//! # }
//! ```
//!
//! # Which calls wait, which fail, which are sent again
//!
//! | the addresses | a call | a call with [`WaitForReady`] |
//! |---|---|---|
//! | one is [`Ready`](State::Ready) | is sent there | is sent there |
//! | none is ready, one is [`Connecting`](State::Connecting): for the first time, or after a loss | waits | waits |
//! | all are in [`TransientFailure`](State::TransientFailure), or there are none | fails: `UNAVAILABLE`, with the last error | waits |
//!
//! A call waits at most until its deadline (`grpc-timeout`, or that of a deadline layer), and then ends
//! `DEADLINE_EXCEEDED`. After a wait, `grpc-timeout` is the time that is left.
//!
//! | a call fails, and the server | then |
//! |---|---|
//! | never got it: its connection was gone | it goes to the next address |
//! | refuses it (`REFUSED_STREAM`) | it goes to the next address, once in all |
//! | leaves without having processed it (GOAWAY) | it goes to the next address, once for each server that leaves |
//! | may have processed it: a lost connection, any status | the caller gets the failure, for a retry layer to judge |
//!
//! For a server that leaves, gRFC A6 sends a call again once, too. It is once for each server here, so that a restart of
//! all of them costs no call.
//!
//! What was read of the request is sent again, up to 256 KiB for a call and 16 MiB for all calls of a `Balanced`.
//! Beyond that, the request is not sent again.
//!
//! # Layers around it
//!
//! Outermost first: observers, deadlines, retries, credentials, and then `Balanced`. A layer sees one call, however
//! often it is sent again here; [`on_pick`](BalancedBuilder::on_pick) is called each time. What is sent again here is
//! no attempt for `tonic-retry-layer`.
//!
//! [`WaitForReady`] in the request's extensions has an effect in both. `Balanced` waits until an address is ready; a
//! retry layer around a `Channel` can only try again after pauses.
//!
//! # When connections are made
//!
//! | | |
//! |---|---|
//! | an address is new, or its connection is lost | at once, but not within 1 s after the beginning of the last attempt |
//! | at the same time | one attempt for each address |
//! | an attempt has failed | 1 s after its beginning, then 1.6 times longer each time, up to 120 s, ±20 % |
//! | an attempt lasts | 20 s at most, or `Endpoint::connect_timeout` |
//! | a connection is ready | when the server has sent its HTTP/2 SETTINGS |
//! | a connection is lost | it is closed, or the server sends GOAWAY; its running calls end by themselves |
//! | two connections in a row end within 1 s | the address has failed, and the back-off grows |
//! | a peer is gone without closing | TCP keepalive detects it on an idle connection, `TCP_USER_TIMEOUT` (Linux, 20 s) on a busy one |
//!
//! # TLS
//!
//! With the TLS of tonic's `Endpoint` (scheme `https`), this crate cannot see SETTINGS and GOAWAY, since they are
//! encrypted. Then a connection is ready when the server has sent anything after the handshake, and the next call
//! detects GOAWAY and goes elsewhere. With a [connector](BalancedBuilder::connector) that does TLS there is no
//! difference: that of [`tonic-tls-reload`](https://docs.rs/tonic-tls-reload) goes over a [`SocketConnector`], and renews
//! its certificates.
//!
//! # What an operator sees
//!
//! One event per change of an address's state, with the target `tonic_balance`: WARN for a failure, INFO where an
//! address becomes or ceases to be ready, DEBUG else. There is a WARN, too, when no addresses are discovered any more,
//! and for a server without the health service that it should have.
//!
//! ```text
//! WARN tonic_balance: connection state changed server="orders.svc:50051" address=10.0.0.2:50051
//!     from="CONNECTING" state="TRANSIENT_FAILURE" reason="Connection refused (os error 111)"
//! ```
//!
//! [`on_state`](BalancedBuilder::on_state) and [`on_pick`](BalancedBuilder::on_pick) are hooks for metrics, and
//! [`Balanced::states`] returns the current states:
//!
//! ```no_run
//! # use tonic::transport::Endpoint;
//! # use tonic_balance::{Balanced, State};
//! # #[derive(Clone)] struct Gauges;
//! # impl Gauges { fn add(&self, _: &str, _: i64) {} }
//! # fn build(endpoint: Endpoint, connections: Gauges) -> Balanced {
//! Balanced::host(endpoint)
//!     .on_state(move |change| {
//!         if let Some(from) = change.from {
//!             connections.add(from.name(), -1);
//!         }
//!         if change.to != State::Shutdown {
//!             connections.add(change.to.name(), 1);
//!         }
//!     })
//!     .build()
//! # }
//! ```
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | build outside a tokio runtime | it panics, as `Endpoint::connect_lazy` does | build it in `main`, in the runtime that lives longest: the connections end with it |
//! | use the name of a Kubernetes service with a virtual address | one pod gets all calls | use a [headless service](kubernetes) |
//! | wait for ready without a deadline | a call may wait for ever | set one |
//! | set `Endpoint::http2_keep_alive_interval` | servers of gRPC's own libraries answer pings that come more often than every 5 minutes with GOAWAY `too_many_pings` | leave it off: TCP finds dead peers, and deadlines end the calls to a server that hangs |
//! | forget `.build()` | the compiler reports that `BalancedBuilder` is no `Service` | call it |
//! | use `https` without `Endpoint::tls_config`, or without a TLS feature of tonic | no address connects | turn on `tls-ring` or `tls-aws-lc` of tonic, and set `tls_config` |
//! | make a `Balanced` for each call | each call connects anew | clone one |
//! | expect a running stream to move to a new server | it stays where it began | end it on the server from time to time |
//! | connect many clients to many servers | each client has a connection to each server | give each client a part of the list |
//! | set `Endpoint::concurrency_limit` | it holds for each connection, and a call that waits for it is not moved | limit outside |
//! | set `Endpoint::local_address` | it is ignored | give a [connector](BalancedBuilder::connector) |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `service-config` | no | `BalancedBuilder::service_config` and `ServiceConfig` |
//!
//! A runnable program is in [`examples/`](https://github.com/tonic-layers/tonic-layers/tree/main/balance/examples).

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod backoff;
mod balanced;
mod builder;
mod call;
mod connect;
mod discover;
mod error_text;
mod event;
mod health;
mod manager;
mod policy;
mod random;
mod rotation;
mod slots;
mod snapshot;
mod state;
mod task;

#[doc = include_str!("../docs/kubernetes.md")]
pub mod kubernetes {}

pub use self::address::Address;
pub use self::balanced::Balanced;
pub use self::builder::BalancedBuilder;
pub use self::call::ResponseFuture;
pub use self::connect::{Socket, SocketConnector};
pub use self::discover::Change;
pub use self::policy::Policy;
pub use self::state::{State, StateChange};
pub use tonic_call::{BoxChannel, WaitForReady};
#[cfg(feature = "service-config")]
#[cfg_attr(docsrs, doc(cfg(feature = "service-config")))]
pub use tonic_call::{ConfigError, ServiceConfig};
