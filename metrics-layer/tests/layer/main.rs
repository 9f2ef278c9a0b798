//! The series of calls: what is counted, when, and with which labels.

#![allow(clippy::unwrap_used)]

#[path = "../readings/mod.rs"]
mod readings;

mod codes;
mod endings;
mod first_calls;
mod fits;
mod labels;
mod open_telemetry;
mod order;
mod panics;
mod protocols;
mod refusals;
mod registration;
mod sockets;
mod ten_thousand;
mod unknown_paths;
