//! The subjects of the benches of Connect: one service, called in gRPC and in Connect, through
//! `tonic-connect-layer` and through `connectrpc`.

mod client;
mod frames;
mod kind;
mod peer;
mod reflected;
mod request;
mod server;
mod shop;
mod subject;

pub use self::client::{Client, Version};
pub use self::kind::{Format, Kind};
pub use self::reflected::Reflected;
pub use self::request::Call;
pub use self::server::serve;
pub use self::subject::{Subject, Through};

/// Messages of a stream.
const MESSAGES: u32 = 100;
