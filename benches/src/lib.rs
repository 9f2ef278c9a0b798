//! The subjects of the benches: one tonic service, bare and behind layers, called in process or over
//! loopback.

mod nothing;
mod server;
mod service;
mod subject;

pub use self::server::{Server, servers};
pub use self::subject::{Call, Subject, subjects};
