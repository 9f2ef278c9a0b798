#![allow(clippy::unwrap_used)]

mod properties;
mod reads;
mod vectors;
mod writes;

use std::sync::LazyLock;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tonic::{Code, Status};

use super::{JsonCodec, JsonOptions, written};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/json");
    let files = protox::compile(["json.proto", "legacy.proto"], [root]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
});

impl JsonCodec {
    fn decode(&self, message: &MessageDescriptor, json: &[u8]) -> Result<Bytes, Status> {
        written(|out| self.decode_to(message, json, out))
    }
}

fn message(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).unwrap()
}

fn all() -> MessageDescriptor {
    message("test.json.All")
}

/// Ignores unknown fields, and writes no default values.
fn codec() -> JsonCodec {
    static CODEC: LazyLock<JsonCodec> = LazyLock::new(JsonCodec::default);
    CODEC.clone()
}

fn strict() -> JsonCodec {
    static CODEC: LazyLock<JsonCodec> = LazyLock::new(|| {
        JsonCodec::new(JsonOptions { refuse_unknown_fields: true, write_defaults: false })
    });
    CODEC.clone()
}

/// The JSON of the message that this JSON is.
#[track_caller]
fn through(message: &MessageDescriptor, json: &str) -> String {
    let bytes = codec().decode(message, json.as_bytes()).unwrap();
    String::from_utf8(codec().encode(message, bytes).unwrap().to_vec()).unwrap()
}

#[track_caller]
fn refused(json: impl AsRef<[u8]>, text: &str) {
    let status = codec().decode(&all(), json.as_ref()).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), format!("invalid JSON for test.json.All: {text}"));
}
