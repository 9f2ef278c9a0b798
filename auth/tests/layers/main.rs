//! Authentication, authorization and credentials in their layers: which calls pass, and what a client sends.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod build;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "api-keys")]
mod combined;
mod credentials_headers;
#[cfg(feature = "client")]
mod credentials_on_a_server;
mod decisions;
mod expiry;
#[cfg(feature = "client")]
mod fits;
mod preflights;
mod refusals;
#[cfg(feature = "client")]
mod sockets;
