//! The events of the layer: one line for each call, its level, its keys and its text, and the span around a handler.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod choices;
mod endings;
mod fits;
mod handler_span;
mod hostile_text;
mod keys;
mod levels;
mod protocols;
mod refusals_in_a_flood;
mod sockets;
