//! Which deadline a call has, and how it ends, without sockets.

#![allow(clippy::unwrap_used)]

mod client;
mod endings;
mod fits;
mod observer_inside;
mod settings;
mod slow_poll;
mod stall;
