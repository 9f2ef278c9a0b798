//! An order service over gRPC, `orders.v1` and `orders.v2`, with every layer of this workspace: `orders serve` runs the
//! server, `orders call` calls it, `orders token` makes a development token, `orders certs` makes development
//! certificates, and `orders demo` shows all of it.
//!
//! | module | contains |
//! |---|---|
//! | [`cli`], [`run()`] | the command line, and running one command |
//! | [`serve`], [`drain`] | starting the server, shutting it down |
//! | [`connections`] | accepting and bounding connections |
//! | [`tls`], [`certs`] | TLS of the server, making development certificates |
//! | [`auth`], [`deadlines`], [`limits`], [`traces`], [`logs`], [`metrics`], [`panics`] | configuring the layers |
//! | [`service`], [`store`], [`faults`] | the order service and its database, injected faults |
//! | [`call`] | the client |
//! | [`demo`] | serving and calling in each way, and what callers and operators see |

pub mod auth;
pub mod call;
pub mod certs;
pub mod cli;
pub mod connections;
pub mod deadlines;
pub mod demo;
pub mod drain;
mod duration;
pub mod faults;
mod fields;
mod hangup;
mod json;
pub mod limits;
pub mod logs;
mod methods;
pub mod metrics;
mod page;
pub mod panics;
mod run;
pub mod serve;
pub mod service;
mod shell;
mod status;
pub mod store;
pub mod tls;
pub mod traces;
mod validate;
mod web;

pub use run::run;

/// The package `orders.v1`: messages, client and server.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/orders.v1.rs"));
}

/// The package `orders.v2`: messages, client and server.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod v2 {
    include!(concat!(env!("OUT_DIR"), "/orders.v2.rs"));
}

/// The encoded `google.protobuf.FileDescriptorSet` of the proto files: for reflection, for JSON, and for the
/// layers.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/orders.bin"));
