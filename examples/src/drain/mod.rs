//! Graceful shutdown.
//!
//! After SIGTERM, as Kubernetes sends it: health reports "not serving" at once; the server keeps serving for the
//! drain delay, until load balancers have noticed; then it accepts no further calls (GOAWAY), running calls
//! finish, and streams that would not end by themselves end `UNAVAILABLE`. Ctrl-C does the same without the
//! delay. At the drain limit, or at a second signal, every call is ended.
//!
//! The limit is needed for calls that take too long, for peers that have disappeared, and for callers that read
//! nothing: HTTP/2 cannot deliver a status to a caller that leaves no flow-control window.

mod layer;
mod open_calls;
mod phases;
mod signals;

pub(crate) use layer::{DrainLayer, EndsSoon};
pub use phases::{DelayTooLong, Drain, Drained};
pub use signals::{Signal, signals, signals_or_eof};
