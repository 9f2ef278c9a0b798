//! What an observer sees of calls, and which requests are calls.

#![allow(clippy::unwrap_used)]

mod cut;
#[cfg(feature = "channel")]
mod delivery;
mod dropped_in_the_last_poll;
mod endings;
mod fits;
mod grpc_web;
mod held;
mod known_methods;
mod one_pass;
mod option_layer;
#[cfg(feature = "tls-connect-info")]
mod peers;
mod protocols;
mod sockets;
mod which_requests_are_calls;
mod whose_failure;
