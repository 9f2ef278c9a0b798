//! The spans of calls: their names, attributes and parents, when they end, and where they are current.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod choices;
mod codes;
mod context;
mod conventions;
mod endings;
mod fits;
mod hostile_headers;
mod naming;
mod protocols;
mod sampling;
mod sockets;
mod ten_thousand_messages;
mod two_hops;
