//! Which connections there are, and which of them a call takes.

#![allow(clippy::unwrap_used)]

#[path = "../network/mod.rs"]
mod network;
#[path = "../servers/mod.rs"]
mod servers;

mod attacks;
mod health;
mod resend;
mod sockets;
mod stalls;
mod states;
mod tls;
