//! A test kit for layers on `tonic-call`: scripted bodies, an observer that records, and a service with a method
//! of each kind.

mod call;
mod exchange;
mod fits;
mod http2;
mod lines;
mod listen;
mod panics;
mod recorder;
mod script;
mod service;
mod untouched;

pub use self::call::{KINDS, Outcome, ask, call, method_of, read};
pub use self::exchange::{
    Answer, answers, drain, frame, poll_once, run, stream, to, to_kind, trailers_only, with,
};
pub use self::http2::{Event, FrameServer, Received, Reply};
pub use self::lines::{Collecting, Lines};
pub use self::listen::listen;
pub use self::panics::{PanicsInDrop, silence_panics};
pub use self::recorder::{Ended, Recorded, RecordedCall, Recorder, in_scope};
pub use self::script::{Script, frame_of};
pub use self::service::KindsService;
pub use self::service::KindsService as Orders;
pub use self::untouched::Untouched;

/// The generated messages, client and server of `test.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("test.v1");
}

/// The encoded descriptor set of `test.v1`.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// Both sides of a call, to run a test on each side.
pub const SIDES: [tonic_call::Side; 2] = [tonic_call::Side::Server, tonic_call::Side::Client];

/// The methods of `test.v1`.
///
/// # Panics
///
/// Never: the descriptor set is built with this crate.
pub fn methods() -> tonic_call::Methods {
    tonic_call::Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).expect("a descriptor set")
}

/// The test service under the names that documentation examples use.
pub mod orders {
    pub use crate::FILE_DESCRIPTOR_SET;

    /// The client as generated for `OrderService`.
    pub mod order_service_client {
        pub use crate::v1::kinds_client::KindsClient as OrderServiceClient;
    }

    /// The server as generated for `OrderService`.
    pub mod order_service_server {
        pub use crate::v1::kinds_server::KindsServer as OrderServiceServer;
    }
}
