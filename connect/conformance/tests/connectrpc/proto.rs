//! The generated code of `connectrpc.conformance.v1`.

use prost::Message;

/// The types and the client of tonic.
#[allow(dead_code, missing_docs, unused_qualifications, unreachable_pub)]
pub(crate) mod grpc {
    tonic::include_proto!("connectrpc.conformance.v1");
}

/// The types and the client of `connectrpc`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    dead_code,
    missing_debug_implementations,
    missing_docs,
    rust_2018_idioms,
    unreachable_pub,
    unused_qualifications
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/connectrpc/all.rs"));
}

pub(crate) use self::generated::connectrpc::conformance::v1 as connect;

/// The same message as the other type.
pub(crate) fn to_connect<T: buffa::Message>(message: &impl Message) -> T {
    T::decode_from_slice(&message.encode_to_vec()).unwrap()
}

/// The same message as the other type.
pub(crate) fn to_grpc<T: Message + Default>(message: &impl buffa::Message) -> T {
    T::decode(message.encode_to_vec().as_slice()).unwrap()
}
