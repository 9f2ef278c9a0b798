//! The subjects of the benches: one tonic service, bare and behind layers, called in process or over
//! loopback.

mod configured;
mod listener;
mod many;
mod nothing;
mod server;
mod service;
mod spans;
mod subject;
mod subjects;
mod tokens;

pub use self::listener::Listener;
pub use self::server::{Server, servers};
pub use self::subject::{Call, Subject};
pub use self::subjects::subjects;
