//! The generated messages, clients and servers of `grpc.testing`.

pub(crate) use self::testing::*;

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
mod testing {
    tonic::include_proto!("grpc.testing");
}

/// The encoded descriptor set.
pub(crate) const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/testing.bin"));

/// A payload of that many zeros.
pub(crate) fn zeros(size: usize) -> Payload {
    Payload { r#type: PayloadType::Compressable.into(), body: vec![0; size] }
}
