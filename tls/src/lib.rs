//! TLS for tonic servers and clients whose certificates, keys and CAs are renewed while they run.
//!
//! ```toml
//! [dependencies]
//! tonic-tls-reload = { version = "0.1", features = ["tls-aws-lc"] } # or "tls-ring"
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"               # needs no TLS features of its own
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
//! use tonic::transport::server::TcpIncoming;
//! use tonic_tls_reload::ServerTls;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let tls = ServerTls::from_files("/etc/tls/tls.crt", "/etc/tls/tls.key")
//!         .client_ca("/etc/tls/ca.crt") // mutual TLS: each client needs a certificate
//!         .build()?; // an error names the file and the reason
//!
//!     let incoming = TcpIncoming::bind("[::]:8443".parse()?)?.with_nodelay(Some(true));
//!     Server::builder()
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve_with_incoming(tls.incoming(incoming))
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` is your service:
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
//! A handler reads the certificates of its caller
//! with [`client_certificates`]. One bundle per SPIFFE trust domain, clients without a certificate, and revocation lists:
//! see [`ClientCa`]. TLS, mutual TLS or a mesh: see [`choosing`].
//!
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic_tls_reload::ClientTls;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let tls = ClientTls::from_files("/etc/tls/ca.crt")
//!         .certificate("/etc/tls/tls.crt", "/etc/tls/tls.key") // for mutual TLS
//!         .build()?;
//!     let endpoint = tls.endpoint("https://orders.example:8443")?;
//!     let orders = OrderServiceClient::new(endpoint.connect_lazy());
//!     Ok(())
//! }
//! ```
//!
//! [`TlsEndpoint::connector`] is for a channel or balancer of your own. With `tonic-balance`:
//!
//! ```no_run
//! # fn balanced(endpoint: &tonic_tls_reload::TlsEndpoint) -> tonic_balance::Balanced {
//! use tonic_balance::{Balanced, SocketConnector};
//!
//! let sockets = SocketConnector::new(endpoint.endpoint());
//! Balanced::host(endpoint.endpoint().clone())
//!     .connector(endpoint.connector().over(sockets))
//!     .build()
//! # }
//! ```
//!
//! # When files are renewed
//!
//! The files are read every 10 s, and together: all of them are checked, and only a set that is good and has stayed
//! the same for 200 ms replaces the one in use. That fits cert-manager and Kubernetes, which replace all files of a
//! volume at once, and SPIRE's helper and scripts, which write one after the other. [`ServerTls::reload`] reads them
//! now.
//!
//! | what | is renewed for |
//! |---|---|
//! | certificate, key, client CAs, revocation lists of a server | each handshake that begins afterwards |
//! | certificate, key, server CAs of a client | each connection that it makes afterwards |
//! | connections that exist | not at all: a client whose CA was removed stays until its connection ends. [`ConnectionAge`] ends connections |
//! | sessions | a renewed set ends them: clients do a full handshake, and are verified anew |
//!
//! # When files are not good
//!
//! At the start, `build` fails. Later, the previous set stays in use; there is one `WARN` event per problem, a
//! [`ReloadEvent`] at each attempt, and [`TlsStatus::error`]. When the certificate in use expires, there is one `ERROR`
//! event.
//!
//! | problem | label |
//! |---|---|
//! | a file can't be read or is none, or is larger than 16 MiB | `unreadable`, `too_large` |
//! | half written, or not PEM; or without a certificate, an unencrypted key or a list | `malformed`, `empty` |
//! | the key belongs to another certificate | `wrong_key` |
//! | the certificate has expired, or is not valid yet (it is used when it is) | `expired`, `not_yet_valid` |
//! | the files change all the time; rustls or its peers can't use them | `unstable`, `unusable` |
//!
//! # What the operator sees
//!
//! ```no_run
//! use tonic_tls_reload::ServerTls;
//!
//! # fn gauge(_: &str, _: f64) {}
//! # fn count(_: &str, _: &str) {}
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = ServerTls::from_files("/etc/tls/tls.crt", "/etc/tls/tls.key")
//!     .on_reload(|event| count("tls_reloads_total", event.result.as_str()))
//!     .build()?;
//!
//! // When metrics are collected: alert if it comes close.
//! if let Some(validity) = tls.status().validity {
//!     let not_after = validity.not_after.duration_since(std::time::UNIX_EPOCH)?;
//!     gauge("tls_certificate_not_after_timestamp_seconds", not_after.as_secs_f64());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`TlsIncoming::on_failure`] counts failed handshakes; each is also an event at `DEBUG`. The target of all events is
//! `tonic_tls_reload`.
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | set tonic's `tls_config` too | TLS inside TLS | leave it out |
//! | accept HTTP/1 without [`accept_http1`](ServerTlsBuilder::accept_http1) here | such clients are refused in the handshake | set both |
//! | mount a secret with `subPath` | Kubernetes never renews it | mount the folder |
//! | remove the old CA when the new one arrives | clients with old certificates are refused | first trust both, and remove the old one when all have new ones |
//! | check in a handler that a certificate was presented, with [`optional`](ClientCa::optional) | easily forgotten | require it, or use an auth layer |
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `server` | yes | [`ServerTls`], [`TlsIncoming`], [`ConnectionAge`] |
//! | `client` | yes | [`ClientTls`], [`TlsEndpoint`], [`TlsConnector`] |
//! | `tls-aws-lc` | no | cryptography by aws-lc-rs; takes precedence over `tls-ring` |
//! | `tls-ring` | no | cryptography by ring |
//!
//! Neither provider is on by default, because a second rustls provider makes a program's own `ClientConfig::builder()`
//! panic. A provider that is
//! [installed](https://docs.rs/rustls/0.23/rustls/crypto/struct.CryptoProvider.html#method.install_default) is used
//! first. Without any, `build` fails. TLS 1.2 and 1.3 are spoken, as far as the provider does.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
mod age;
#[cfg(feature = "client")]
mod client;
#[cfg(any(feature = "client", feature = "server"))]
mod material;
#[cfg(any(feature = "client", feature = "server"))]
mod provider;
#[cfg(any(feature = "client", feature = "server"))]
mod reload;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "server")]
pub use self::age::{
    AgedConnection, AgedService, ConnectionAge, OpenCall, OpenCalls, OpenCallsService,
};
#[cfg(feature = "client")]
pub use self::client::{
    ClientTls, ClientTlsBuilder, ConnectFuture, TlsConnectError, TlsConnector, TlsEndpoint,
    TlsEndpointError, TlsIo,
};
#[cfg(any(feature = "client", feature = "server"))]
pub use self::material::{FileRole, Problem, TlsError, Validity};
#[cfg(any(feature = "client", feature = "server"))]
pub use self::reload::{ReloadEvent, ReloadResult, TlsStatus};
#[cfg(feature = "server")]
pub use self::server::{
    ClientCa, HandshakeError, HandshakeFailure, ServerTls, ServerTlsBuilder, TlsIncoming,
    client_certificates,
};

#[doc = include_str!("../docs/choosing.md")]
#[cfg(feature = "server")]
pub mod choosing {}
