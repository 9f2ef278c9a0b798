//! Client certificates: who they identify, and the tokens that are bound to them.

#![cfg(feature = "mtls")]
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "jwt")]
#[path = "../jwt_support/mod.rs"]
mod jwt_support;
#[path = "../mtls_support/mod.rs"]
mod mtls_support;

#[cfg(feature = "jwt")]
mod bound_tokens;
mod certificates;
mod mesh;
#[cfg(unix)]
mod sockets;
