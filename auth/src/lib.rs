//! Tells who is calling, and lets only those through who may.
//!
//! ```toml
//! [dependencies]
//! tonic-auth-layer = { version = "0.1", features = ["tls-aws-lc"] } # or "tls-ring": for an https issuer
//! prost = "0.14"
//! prost-types = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = { version = "0.14", features = ["tls-aws-lc", "tls-native-roots"] } # for an https endpoint
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
//! use std::time::Duration;
//!
//! use orders::order_service_server::OrderServiceServer;
//! use tonic::transport::Server;
//! use tonic_auth_layer::{Access, AuthLayer, Jwt, Methods};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Keys are fetched in the background; calls are answered `UNAVAILABLE` until they are there.
//!     let jwt = Jwt::discover("https://id.example")
//!         .audience("orders")
//!         .max_lifetime(Duration::from_secs(24 * 60 * 60)) // a token that lives longer is refused
//!         .build()?;
//!
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     let auth = AuthLayer::new(jwt) // every method needs an authenticated caller …
//!         .methods(&methods)
//!         .public_health() // … but this
//!         .method("orders.v1.OrderService", "CreateOrder", Access::scope("orders.write"))
//!         .build()?;
//!
//!     Server::builder()
//!         .layer(auth)
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` your service. `Methods` say which methods there
//! are: a call of any other is refused, and a rule for any other is an error of `build`. They come from the
//! descriptor set that `build.rs` writes beside the code:
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
//! A handler asks who is calling:
//!
//! ```
//! use tonic::{Request, Response, Status};
//! use tonic_auth_layer::Identity;
//!
//! async fn whoami(request: Request<()>) -> Result<Response<String>, Status> {
//!     let caller = Identity::of(&request)?; // `UNAUTHENTICATED` if nobody has found out
//!     Ok(Response::new(caller.subject().unwrap_or("nobody by name").to_owned()))
//! }
//! ```
//!
//! # On a client
//!
//! ```no_run
//! # use tonic_call_test_kit::orders;
//! use orders::order_service_client::OrderServiceClient;
//! use tonic::transport::{ClientTlsConfig, Endpoint};
//! use tonic_auth_layer::{BoxChannel, CredentialsLayer, TokenFile};
//! use tower::ServiceBuilder;
//!
//! /// A layered client has a name, and so fits in a struct.
//! struct Billing {
//!     orders: OrderServiceClient<BoxChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let endpoint = Endpoint::from_static("https://orders.svc:8080")
//!         .tls_config(ClientTlsConfig::new().with_enabled_roots())?;
//!     let token = TokenFile::open("/var/run/secrets/token")?; // read again when it is renewed
//!     let channel = ServiceBuilder::new()
//!         .layer(CredentialsLayer::bearer(token).to(&endpoint)?) // an error if it is not encrypted
//!         .service(endpoint.connect_lazy());
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//!     Ok(())
//! }
//! ```
//!
//! # Around one service, in axum, or by a setting
//!
//! ```
//! # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
//! # fn place(keys: tonic_auth_layer::ApiKeys, is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::service::{LayerExt as _, Routes};
//! use tonic::transport::Server;
//! use tonic_auth_layer::{AuthLayer, option_layer};
//!
//! let layer = AuthLayer::new(keys).build()?;
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
//! # Who is recognised by what
//!
//! | authenticator | recognises |
//! |---|---|
//! | [`Jwt`] | tokens that an issuer has signed, with keys that are given, in a file, at a URL, or found by OpenID Connect discovery: see [`jwt`] |
//! | [`ApiKeys`] | a secret in a header |
//! | [`authenticate_fn`], [`authenticate_async`], [`Authenticate`] | what you like |
//! | [`any_of`] | the first of several whose credentials are there; bad ones are never passed over for weaker ones |
//! | [`all_of`] | several at once |
//!
//! # Who may
//!
//! [`Access`] says it of a method, a service, or by default: [public](Access::public),
//! [authenticated](Access::authenticated), [all](Access::all_scopes) or [any](Access::any_scope) of some
//! scopes, or a [function](Access::function) of the identity and the method. The most exact rule counts,
//! and without one a caller must be known. A path that is not exactly `/service/method` never gets through,
//! whatever the rules say; with [`methods`](AuthBuilder::methods), nor does a method that is not described,
//! even if it is served. A caller who is known, or need not be because what would apply is public, gets the
//! answer that tonic gives where a method is missing, `UNIMPLEMENTED`: during a rolling upgrade clients fall
//! back on an older method by that code. With [`every_method_ruled`](AuthBuilder::every_method_ruled) a new method without a
//! rule is an error when the layer is built. So is, always, a rule that can never match: a name with a slash,
//! or the same method or service a second time; with `methods`, also one that is misspelt or not qualified.
//!
//! # What the caller sees
//!
//! An answer in the head alone, before a byte of the request's body is read, whatever the kind of the
//! call. The status carries a `google.rpc.ErrorInfo` with the reason, and where it helps a
//! `www-authenticate`:
//!
//! | what is wrong | code | reason | `error` of the challenge |
//! |---|---|---|---|
//! | no credentials | `UNAUTHENTICATED` | `CREDENTIALS_MISSING` | |
//! | they are not in the right form, too long, or there twice | `UNAUTHENTICATED` | `CREDENTIALS_MALFORMED` | `invalid_request` |
//! | they are not good | `UNAUTHENTICATED` | `TOKEN_INVALID` | `invalid_token` |
//! | they have expired | `UNAUTHENTICATED` | `TOKEN_EXPIRED` | `invalid_token` |
//! | the caller is known, and lacks a scope | `PERMISSION_DENIED` | `SCOPE_INSUFFICIENT` | `insufficient_scope` |
//! | the caller is known, and a function says no | `PERMISSION_DENIED` | `ACCESS_DENIED` | |
//! | there is no such method, and the caller is known or need not be | `UNIMPLEMENTED` | `METHOD_UNKNOWN` | |
//! | it can't be told now: no keys yet, or a check panicked | `UNAVAILABLE` | `VERIFIER_UNAVAILABLE` | |
//! | too many bad credentials came from there | `RESOURCE_EXHAUSTED` | `RATE_LIMITED` | |
//!
//! With `RATE_LIMITED` comes a `google.rpc.RetryInfo` that says how long to wait, if that is
//! [known](Failure::retry_after).
//!
//! Nothing else of the failed check is told. To a request that is not gRPC (its content type is not
//! `application/grpc…`) the HTTP status is 401, 403, 404, 429 or 503, since a 200 would be a yes.
//!
//! With [`end_streams_at_expiry`](AuthBuilder::end_streams_at_expiry) a stream ends `UNAUTHENTICATED` when
//! its credentials expire, also while its caller reads nothing.
//!
//! # What the operator sees
//!
//! The exact check that failed, what was expected, and what there was instead: bounded, escaped, and
//! never text of the credentials.
//!
//! - In the call's log line, by [`CallInfo`](tonic_call::CallInfo): who is calling
//!   ([`principal`](Identity::principal)), the reason of the refusal, and the fields `auth.check`,
//!   `auth.expected` and `auth.received`, which `tonic-logging-layer` writes under `fields`, or each under a
//!   key of its own where they are declared.
//! - In [`on_decision`](AuthBuilder::on_decision), for each call that is decided, passed ones too, and
//!   once more when a stream is ended. [`Decision::result`] fits a label; who is calling does not.
//! - In an event of `tracing` at `DEBUG` for each refusal, at `ERROR` for a panic. The first health probe that is
//!   refused is told at `WARN`, and so is [shadow mode](AuthBuilder::shadow) when the layer is built. Without
//!   [`methods`](AuthBuilder::methods), one event at `INFO` names the rules that none of the first 1,000 calls
//!   that passed has matched.
//!
//! # What the handler sees
//!
//! The [`Identity`], unless the method is public: with the claims of its token as JSON, and in a type of
//! yours if the issuer's are [read into](jwt::Issuer::claims_as) one. The headers with credentials are
//! marked as sensitive, and [can be removed](AuthBuilder::remove_credentials). An identity that the request's
//! extensions held before is gone, so that what is found there was found for this call by this layer.
//!
//! # Where to put it
//!
//! Inside what observes (metrics, logs, spans) and recovers, so that they see refusals; outside what needs
//! to know who is calling, limits per caller for example. In an axum router put it around tonic's
//! routes alone: any other path is refused.
//!
//! # With tonic-web and CORS
//!
//! Outermost the CORS layer, which answers preflights itself; then this layer; then `GrpcWebLayer`. It answers a
//! caller of gRPC-Web in gRPC-Web. A preflight that reaches it is refused, whatever the rules say, with one WARN that says
//! so: a tonic service would run its method, without credentials.
//!
//! # What it does not do
//!
//! - **Replay**: a bearer token is good for whoever holds it, until it expires. Short lifetimes and TLS
//!   are the remedy.
//! - **DPoP** (RFC 9449) and other tokens that are bound to a key.
//! - **Encrypted tokens** (JWE): they are refused.
//! - **Ending what runs**: a call is decided when it comes. A stream that runs ends when its credentials
//!   expire, if that is [asked for](AuthBuilder::end_streams_at_expiry), but not when they are revoked, or
//!   when their key is withdrawn.
//!
//! # What it costs
//!
//! A caller who is known at once costs two small allocations: the identity in the request's extensions,
//! and its name in the [`CallInfo`](tonic_call::CallInfo). A public method costs none.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `client` | yes | [`CredentialsLayer`]: sends credentials with the calls of a client |
//! | `http` | yes | fetches keys over HTTP: over `https` with one of the two below, or with the default provider of rustls that the program has installed |
//! | `tls-ring` | no | fetches keys over `https`, with ring |
//! | `tls-aws-lc` | no | fetches keys over `https`, with aws-lc-rs; with both features it is this one that is used |
//! | `tls-connect-info` | yes | reads the caller's address below the TLS of an incoming of one's own (tonic's own TLS needs it not) |
//! | `axum` | no | reads the caller's address where `axum::serve` accepts the connections |
//!
//! A program that uses rustls with one provider must not get a second one by a dependency: its own
//! `ClientConfig::builder()` would panic. So neither is on by default, as with tonic; without a provider
//! [`build`](jwt::JwtBuilder::build) fails for an issuer at an `https` address, and says so. A provider that
//! is [installed](https://docs.rs/rustls/0.23/rustls/crypto/struct.CryptoProvider.html#method.install_default)
//! is preferred to those of the features; a program that has both must install one for everything else. The
//! signatures of tokens are verified by aws-lc-rs in any case, which is no provider of rustls by that.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
mod client;
mod decide;
#[cfg(feature = "jwt")]
pub mod jwt;
mod wall_clock;

#[cfg(feature = "client")]
pub use self::client::{
    BadToken, BearerToken, Credentials, CredentialsBuilder, CredentialsFuture, CredentialsLayer,
    NoToken, NotEncrypted, Obtaining, TokenAsync, TokenFile, TokenFileError, TokenSource,
    token_async,
};
pub use self::decide::access::Access;
#[cfg(feature = "api-keys")]
pub use self::decide::api_keys::{ApiKeyError, ApiKeys, KEY_AT_LEAST};
pub use self::decide::authenticate::{Authenticate, Authenticating, Outcome};
pub use self::decide::body::ResponseBody;
pub use self::decide::build_error::BuildError;
pub use self::decide::builder::AuthBuilder;
pub use self::decide::combined::{AllOf, AnyOf, all_of, any_of};
pub use self::decide::decision::{Decision, Verdict};
pub use self::decide::failure::{Failure, RECEIVED_AT_MOST, Reason};
pub use self::decide::function::{
    AuthenticateAsync, AuthenticateFn, authenticate_async, authenticate_fn,
};
pub use self::decide::future::ResponseFuture;
pub use self::decide::identity::{Identity, NoIdentity};
pub use self::decide::incoming::{CREDENTIALS_AT_MOST, Head, Incoming};
pub use self::decide::layer::AuthLayer;
pub use self::decide::service::Auth;
#[cfg(feature = "jwt")]
pub use self::jwt::Jwt;
pub use self::wall_clock::Clock;
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};
