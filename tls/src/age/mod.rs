//! Connections that end at an age.

mod calls;
mod config;
mod connection;
mod io;
mod serve;

pub use self::calls::{AgedService, OpenCall, OpenCalls, OpenCallsService};
pub use self::config::ConnectionAge;
pub use self::io::AgedConnection;
