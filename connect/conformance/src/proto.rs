//! The generated code of `connectrpc.conformance.v1`.
#![allow(dead_code, missing_docs, unused_qualifications, unreachable_pub)]

tonic::include_proto!("connectrpc.conformance.v1");

pub(crate) const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/conformance.bin"));
