//! Round trips with the client of the `connectrpc` crate, over sockets, against the server under test.
//!
//! The same calls go over gRPC by tonic's client. Both get the same answers.
#![allow(clippy::unwrap_used)]

mod answer;
mod call;
mod cancels;
mod connect;
mod deadlines;
mod failures;
mod grpc;
mod kinds;
mod proto;
mod refusals;
mod server;
mod transport;
mod way;
