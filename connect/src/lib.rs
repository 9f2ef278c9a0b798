//! Lets any tonic service answer the [Connect protocol](https://connectrpc.com/docs/protocol) as well: unary and
//! streaming calls with JSON or protobuf, over HTTP/1.1 and HTTP/2, from a browser or with `curl`.
//!
//! The layer translates. Behind it are an unmodified tonic service, and other layers, which see gRPC. gRPC and gRPC-Web
//! pass through it untouched, so that one port answers all three protocols.
//!
//! ```toml
//! [dependencies]
//! tonic-connect-layer = "0.1"
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
//! use tonic_connect_layer::ConnectLayer;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     Server::builder()
//!         .accept_http1(true) // browsers and curl use HTTP/1.1 without TLS
//!         .layer(ConnectLayer::new(orders::FILE_DESCRIPTOR_SET)?)
//!         .add_service(OrderServiceServer::new(Orders::default()))
//!         .serve("127.0.0.1:50051".parse()?)
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! ```sh
//! curl -H 'content-type: application/json' -d '{"id": "7"}' \
//!   http://127.0.0.1:50051/orders.v1.OrderService/GetOrder
//! ```
//!
//! `orders` is the module that tonic generates, and `Orders` is your service. The descriptor set, which `build.rs`
//! writes, describes the messages:
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
//! # With other layers
//!
//! The CORS layer is outermost, because it answers preflights. Then comes this layer, then `GrpcWebLayer`, then all
//! others. They see a gRPC request with [`Protocol::Connect`](tonic_call::Protocol) in its extensions.
//!
//! ```
//! # use tonic_call_test_kit::{Orders, Recorder, orders::{self, order_service_server::OrderServiceServer}};
//! # use tonic_call::ObserveLayer;
//! # fn serve(cors: tower::layer::util::Identity) -> Result<(), Box<dyn std::error::Error>> {
//! # let tracing = ObserveLayer::server(Recorder::new());
//! use tonic::transport::Server;
//! use tonic_connect_layer::ConnectLayer;
//! use tonic_web::GrpcWebLayer;
//!
//! let server = Server::builder()
//!     .accept_http1(true)
//!     .layer(cors)
//!     .layer(ConnectLayer::new(orders::FILE_DESCRIPTOR_SET)?)
//!     .layer(GrpcWebLayer::new())
//!     .layer(tracing) // and metrics, logging, deadlines, recovery, auth, limits
//!     .add_service(OrderServiceServer::new(Orders::default()));
//! # Ok(())
//! # }
//! ```
//!
//! # Which requests are answered
//!
//! | request | what happens |
//! |---|---|
//! | content type `application/grpc…` | passes untouched |
//! | CORS preflight | passes untouched |
//! | path of a method in the descriptor sets | is a Connect call |
//! | path of another method of a service in them | answered with 404 |
//! | other path, with a header or query that only Connect clients send | answered with 404 |
//! | other path | passes untouched, so that the program can have other routes; answered with 404 if there is none |
//!
//! | method | HTTP method | content type |
//! |---|---|---|
//! | unary | `POST` | `application/json`, `application/proto` |
//! | unary, marked `NO_SIDE_EFFECTS` | also `GET`, with the message in the query | |
//! | with a stream | `POST` | `application/connect+json`, `application/connect+proto` |
//! | with streams in both directions | `POST` on HTTP/2 | the same |
//!
//! # When the service is called
//!
//! When the head of the request is here. The layers inside can refuse a call before any of its body is read, and limit
//! the time that the body takes. The body is read, decompressed and decoded when the service asks for it. A stream's
//! messages pass as they arrive, in both directions, and more is read when those before were taken.
//!
//! A request that breaks a rule of the protocol is a call as well, so that the layers inside can log, count and limit
//! it: its body fails with the refusal as a status. If a layer inside refuses the call before, the caller gets that
//! refusal.
//!
//! # What the caller sees on failure
//!
//! | cause | code | HTTP status of a unary method |
//! |---|---|---|
//! | the service's own status | the same | the one of Connect's table |
//! | malformed JSON, gzip or envelope, or a malformed query | `invalid_argument` | 400 |
//! | a compressed envelope without `connect-content-encoding` | `internal` | |
//! | malformed `connect-timeout-ms`, unsupported `connect-protocol-version` | `invalid_argument` | 400 |
//! | a message larger than a limit | `resource_exhausted` | 429 |
//! | a compression other than gzip | `unimplemented` | 501 |
//! | another content type | none: in plain text | 415, with `accept-post` |
//! | another HTTP method | none: in plain text | 405, with `allow` |
//! | a method that does not exist | `unimplemented` | 404 |
//! | streams in both directions on HTTP/1.1 | `invalid_argument` | 505 |
//! | the service ends without a status | `unknown` | 500 |
//!
//! A unary error is JSON, whatever the codec of the request. Its metadata are headers, so that `www-authenticate` of
//! the auth layer works, and a `google.rpc.RetryInfo` becomes `retry-after`. A stream always has status 200 and the
//! error in its last envelope, except for 404, 405, 415 and 505, which the layers inside see as `INVALID_ARGUMENT`
//! (404: `UNIMPLEMENTED`). An answer on HTTP/1.1 before the request was
//! read closes the connection; the rest of the request is read for 500 ms, up to 256 KiB, because a client that still
//! writes could lose the answer otherwise.
//!
//! `connect-timeout-ms` becomes `grpc-timeout`. tonic itself or the deadline layer obeys it: there is no timer here.
//!
//! # Pitfalls
//!
//! | what you do | what happens | do instead |
//! |---|---|---|
//! | forget `accept_http1(true)` | `curl` and browsers without TLS get no answer | set it |
//! | put other layers outside this one | they see HTTP requests that are not gRPC, and HTTP statuses | put them inside |
//! | set a smaller `max_decoding_message_size` on the service | a message between the limits is `out_of_range`, as with gRPC | set [`ConnectLayer::max_decompressed_bytes`] to the same |
//! | let `Any` or error details have a type that no set describes | an `Any` in JSON fails; a detail has no `debug` member | add it: [`ConnectLayer::and_descriptor_set`] |
//!
//! # Cost
//!
//! A gRPC request costs reading its content type. A protobuf stream is passed on without copying its messages; JSON is
//! translated directly to and from protobuf, without building a tree.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod body;
mod codec;
mod detect;
mod error;
mod future;
mod gzip;
mod head;
mod json;
mod layer;
mod methods;
mod query;
mod refusal;
mod service;
mod settings;

pub use self::body::ResponseBody;
pub use self::future::ResponseFuture;
pub use self::layer::ConnectLayer;
pub use self::methods::DescriptorSetError;
pub use self::service::Connect;
