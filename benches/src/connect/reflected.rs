use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Deserializer;

use super::shop::FILE_DESCRIPTOR_SET;

/// JSON by `prost-reflect`'s own serialization: through a tree of the message.
#[derive(Debug)]
pub struct Reflected(MessageDescriptor);

impl Reflected {
    /// Of the message type with this name.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn new(name: &str) -> Self {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set");
        Self(pool.get_message_by_name(name).expect("a message type"))
    }

    /// Protobuf to JSON.
    ///
    /// # Panics
    ///
    /// If it is no such message.
    pub fn to_json(&self, protobuf: &[u8]) -> Vec<u8> {
        let message = DynamicMessage::decode(self.0.clone(), protobuf).expect("a message");
        serde_json::to_vec(&message).expect("JSON")
    }

    /// JSON to protobuf.
    ///
    /// # Panics
    ///
    /// If it is no such message.
    pub fn to_protobuf(&self, json: &[u8]) -> Vec<u8> {
        let mut json = Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize(self.0.clone(), &mut json).expect("a message");
        json.end().expect("one message");
        message.encode_to_vec()
    }
}
