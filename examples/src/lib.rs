//! The order service `orders.v1`, as one would run it: `orders serve`, `orders call` to talk to it, and
//! `orders token` to be let in.
//!
//! Each file tells one thing: [`service`] is what a caller may ask for, [`store`] where it is kept,
//! [`auth`] who may, [`limits`] how often, [`connections`] over how many connections, [`serve`] how it comes up, [`drain`] how it goes down, [`traces`] where the spans of
//! calls go, and [`call`] the other side of the wire.

pub mod auth;
pub mod call;
pub mod cli;
pub mod connections;
pub mod drain;
mod drain_layer;
mod duration;
pub mod faults;
mod fields;
mod json;
pub mod limits;
pub mod log_writer;
pub mod logs;
pub mod metrics;
mod page;
pub mod panics;
mod refusal;
pub mod serve;
pub mod service;
pub mod store;
pub mod traces;
mod validate;

/// The package `orders.v1`: messages, client and server.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/orders.v1.rs"));
}

/// What the proto files say, as an encoded `google.protobuf.FileDescriptorSet`: for reflection, for JSON,
/// and for layers that want to know the methods.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/orders.bin"));
