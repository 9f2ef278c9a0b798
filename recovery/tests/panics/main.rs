//! Where panics are recovered, and what is reported of them.

#![allow(clippy::unwrap_used)]

mod panics_at;

mod fits;
mod payloads;
mod places;
mod protocols;
mod streams;
mod thousand;
