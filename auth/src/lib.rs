//! Authenticates callers and authorizes them per method; on clients, sends a token with each call.
//!
//! ```toml
//! [dependencies]
//! tonic-auth-layer = { version = "0.1", features = ["tls-aws-lc"] } # or "tls-ring"; for https keys
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
//!     // Keys are fetched in the background. Until they arrive, calls end `UNAVAILABLE`.
//!     let jwt = Jwt::discover("https://id.example")
//!         .audience("orders")
//!         .max_lifetime(Duration::from_secs(24 * 60 * 60)) // refuses longer-lived tokens
//!         .build()?;
//!
//!     let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
//!     let auth = AuthLayer::new(jwt) // every method requires an authenticated caller …
//!         .methods(&methods)
//!         .public_health() // … except the health service
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
//! `orders` is the module that tonic generates, and `Orders` your service. `Methods` lists the methods that exist:
//! calls of other methods are refused, and a rule for another method is an error of `build`. It is read from the
//! descriptor set that `build.rs` writes:
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
//! A handler reads the caller's identity:
//!
//! ```
//! use tonic::{Request, Response, Status};
//! use tonic_auth_layer::Identity;
//!
//! async fn whoami(request: Request<()>) -> Result<Response<String>, Status> {
//!     let caller = Identity::of(&request)?; // `UNAUTHENTICATED` if there is none
//!     Ok(Response::new(caller.subject().unwrap_or("unnamed").to_owned()))
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
//! /// `BoxChannel` gives a layered client a type that fits in a struct.
//! struct Billing {
//!     orders: OrderServiceClient<BoxChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let endpoint = Endpoint::from_static("https://orders.svc:8080")
//!         .tls_config(ClientTlsConfig::new().with_enabled_roots())?;
//!     let token = TokenFile::open("/var/run/secrets/token")?; // reloaded when it is renewed
//!     let channel = ServiceBuilder::new()
//!         .layer(CredentialsLayer::bearer(token).to(&endpoint)?) // an error without TLS
//!         .service(endpoint.connect_lazy());
//!     let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
//!     Ok(())
//! }
//! ```
//!
//! # Around one service, in axum, or optional
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
//! // Only if a setting turns it on: tower's own `option_layer` does not fit.
//! let maybe = Server::builder().layer(option_layer(is_on.then_some(layer))).add_service(orders);
//! # Ok(())
//! # }
//! ```
//!
//! With tonic-web: see [`tonic_call`](tonic_call#with-tonic-web-and-cors).
//!
//! # Authenticators
//!
//! | authenticator | authenticates by |
//! |---|---|
//! | [`Jwt`] | a JSON Web Token, verified with given keys, or keys from a file, a URL or OpenID Connect discovery: see [`jwt`] |
//! | [`ApiKeys`] | a secret in a header |
//! | `Mtls` | the SPIFFE ID or DNS name in the client's certificate: see the module `mtls` |
//! | [`authenticate_fn`], [`authenticate_async`], [`Authenticate`] | your own code |
//! | [`any_of`] | the first of several authenticators that finds credentials; bad credentials are never skipped |
//! | [`all_of`] | several kinds of credentials at once |
//!
//! # Access rules
//!
//! [`Access`] is set per method, per service, or as the default: [public](Access::public),
//! [authenticated](Access::authenticated), [all](Access::all_scopes) or [any](Access::any_scope) of some scopes, or a
//! [function](Access::function) of identity and method. The most specific rule applies; without a rule, a method
//! requires an authenticated caller. A rule that can never match is an error of `build`. See [`access_rules`].
//!
//! # When the layer decides
//!
//! When the request head arrives, before any byte of the body is read. With
//! [`end_streams_at_expiry`](AuthBuilder::end_streams_at_expiry), again when the credentials expire: the stream then
//! ends `UNAUTHENTICATED`, even if its caller reads nothing.
//!
//! # What the caller sees
//!
//! A trailers-only answer with a `google.rpc.ErrorInfo` that contains the reason:
//!
//! | failure | code | reason |
//! |---|---|---|
//! | no credentials | `UNAUTHENTICATED` | `CREDENTIALS_MISSING` |
//! | malformed, too long or repeated credentials | `UNAUTHENTICATED` | `CREDENTIALS_MALFORMED` |
//! | invalid credentials | `UNAUTHENTICATED` | `TOKEN_INVALID` |
//! | expired credentials | `UNAUTHENTICATED` | `TOKEN_EXPIRED` |
//! | a scope is missing | `PERMISSION_DENIED` | `SCOPE_INSUFFICIENT` |
//! | an access function returns false | `PERMISSION_DENIED` | `ACCESS_DENIED` |
//! | there is no such method | `UNIMPLEMENTED` | `METHOD_UNKNOWN` |
//! | keys are missing, or a check panicked | `UNAVAILABLE` | `VERIFIER_UNAVAILABLE` |
//! | too many bad credentials from that address | `RESOURCE_EXHAUSTED` | `RATE_LIMITED`, with a `RetryInfo` |
//!
//! Besides the required scopes, the caller learns nothing else about the failed check. See [`refusals`] for
//! `www-authenticate` and the HTTP status.
//!
//! # What the operator sees
//!
//! The failed check, the expected value and the received one: bounded, escaped, and never text of the credentials.
//! They are in the call's log line, in the hook [`on_decision`](AuthBuilder::on_decision), and in an event of
//! `tracing` at `DEBUG`. See [`refusals`].
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | put the layer outside metrics, logging or tracing | they do not see refused calls | put it inside them, and outside limits per caller |
//! | put it around a whole axum router | other paths are refused | put it around tonic's routes |
//! | put it outside the CORS layer | preflights are refused, with one `WARN` | CORS outermost, then this layer, then `GrpcWebLayer` |
//! | protect health probes, which have no credentials | the pod never becomes ready | call [`public_health`](AuthBuilder::public_health) |
//! | revoke a token | running streams continue | end them yourself; only expiry ends streams |
//! | accept ID tokens by accident | a login becomes API access | require [`rfc9068`](jwt::Issuer::rfc9068) tokens, or a [`typ`](jwt::Issuer::typ) |
//! | expect replay protection, DPoP or JWE | bearer tokens can be replayed; the other two are refused | short lifetimes and TLS, or tokens that are bound to a certificate (feature `mtls`) |
//!
//! # Cost
//!
//! Two small allocations per call whose credentials are cached; none for a public method.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `jwt` | yes | [`Jwt`], and the claims of an [`Identity`] |
//! | `http` | yes | fetches keys over HTTP; implies `jwt` |
//! | `jsonwebtoken` | no | verifies tokens with the keys and the `Validation` of jsonwebtoken; implies `jwt` |
//! | `api-keys` | yes | [`ApiKeys`] |
//! | `mtls` | no | `Mtls`; adds an X.509 parser |
//! | `client` | yes | [`CredentialsLayer`] |
//! | `tls-connect-info` | yes | reads the caller's address below the TLS of a custom incoming (tonic's own TLS does not need it) |
//! | `tls-ring` | no | fetches keys over `https`, with ring; implies `http` |
//! | `tls-aws-lc` | no | fetches keys over `https`, with aws-lc-rs; takes precedence over `tls-ring` |
//! | `axum` | no | reads the caller's address where `axum::serve` accepts the connections |
//!
//! Neither TLS provider is on by default, because a second rustls provider makes a program's own
//! `ClientConfig::builder()` panic. A provider that is
//! [installed](https://docs.rs/rustls/0.23/rustls/crypto/struct.CryptoProvider.html#method.install_default) is used
//! first. Without any, [`build`](jwt::JwtBuilder::build) fails for an `https` issuer.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
mod client;
mod decide;
#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(feature = "mtls")]
pub mod mtls;
mod wall_clock;

#[cfg(feature = "client")]
pub use self::client::{
    BadToken, BearerToken, Credentials, CredentialsBuilder, CredentialsFuture, CredentialsLayer,
    Destination, NoToken, NotEncrypted, Obtaining, TokenAsync, TokenFile, TokenFileError,
    TokenSource, token_async,
};
pub use self::decide::access::Access;
#[cfg(feature = "api-keys")]
pub use self::decide::api_keys::{ApiKeyError, ApiKeys, MIN_KEY_BYTES};
pub use self::decide::authenticate::{Authenticate, Authenticating, Outcome};
pub use self::decide::body::ResponseBody;
pub use self::decide::build_error::BuildError;
pub use self::decide::builder::AuthBuilder;
pub use self::decide::combined::{AllOf, AnyOf, all_of, any_of};
pub use self::decide::decision::{Decision, Verdict};
pub use self::decide::failure::{Failure, MAX_RECEIVED_BYTES, Reason};
pub use self::decide::function::{
    AuthenticateAsync, AuthenticateFn, authenticate_async, authenticate_fn,
};
pub use self::decide::future::ResponseFuture;
pub use self::decide::identity::{Identity, NoIdentity};
pub use self::decide::incoming::{Head, Incoming, MAX_CREDENTIALS_BYTES};
pub use self::decide::layer::AuthLayer;
pub use self::decide::service::Auth;
#[cfg(feature = "jwt")]
pub use self::jwt::Jwt;
#[cfg(feature = "mtls")]
pub use self::mtls::{Mtls, MtlsBuilder, MtlsError};
pub use self::wall_clock::WallClock;
pub use tonic_call::{BoxChannel, Methods, OptionLayer, option_layer};

#[doc = include_str!("../docs/access_rules.md")]
pub mod access_rules {}

#[doc = include_str!("../docs/refusals.md")]
pub mod refusals {}
