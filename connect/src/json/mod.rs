//! The JSON form of protobuf messages.
//!
//! JSON becomes protobuf, and protobuf JSON, without a message in between: the descriptors of `prost-reflect` say what
//! the fields are, and each value is written as it is read. Both directions take time and memory in proportion to their
//! input.
//!
//! # Rules
//!
//! The rules are those of [ProtoJSON](https://protobuf.dev/programming-guides/json/). Where that text leaves a choice:
//!
//! | input | result |
//! |---|---|
//! | a name twice in an object, or a key twice in a map, in one spelling or in two | error |
//! | two fields of one oneof | error, unless one is `null` |
//! | `null` for a field | the field is absent, except for `google.protobuf.Value` and `NullValue`, where it is a value |
//! | `null` in a list or a map | error, with the same exceptions |
//! | unknown names | ignored, or refused |
//! | unknown names of enum values | ignored like unknown names (in a list, the element is left out), or refused |
//! | numbers of enum values | accepted, unknown ones too; not in quotes |
//! | integers as `1.0`, `1e3`, `"1"`, `"1e3"` | accepted |
//! | numbers that do not fit into the type, `-0.5` for an integer | error |
//! | base64 of either alphabet, with padding or without | accepted, but not both alphabets in one value |
//! | `Any` with an unknown type, or without `@type` if it is not empty | error |
//! | `Any` of `google.protobuf.Empty` | with `"value": {}` or without; written without |
//! | `Any` with `@type` behind other members | accepted; nested, only as far as it stays cheap |
//! | seconds of a timestamp of 60, more than nine digits of a fraction, `t` or `z` | error |
//! | more than 100 messages in each other | error; each map entry, and each level of a `Struct`, is one or more |
//! | text after the message, a byte order mark, text that is not UTF-8, half of a surrogate pair | error |
//!
//! Output has fields in the order of their numbers, JSON names, enum values by name if they have one, 64-bit integers in
//! quotes, and standard base64 with padding. A `google.protobuf.Value` without a kind is written as `null`. What has no
//! JSON form is an `INTERNAL` error: an `Any` of a type that is not in the descriptor set, a timestamp, a duration or a
//! field mask that is out of range, a number in a `Value` that is not finite, text that is not UTF-8.
//!
//! # Differences from `prost-reflect`
//!
//! The JSON of `prost-reflect` 0.16 differs from these rules, besides its cost:
//!
//! - of a name or a key of a map that comes twice, the last counts;
//! - `"1e3"` and `"1.0"` are no integers, and `"+1"` is one; `"inf"`, `"nan"` and `"1e999"` are numbers;
//! - `9007199254740993.0` loses its last digit, and a `float` is rounded twice;
//! - a `FloatValue` or `DoubleValue` of NaN or infinity is written as `null`;
//! - an empty `Any` is an error, and an `Empty` with unknown members is one even if these are ignored;
//! - the JSON before the `@type` of an `Any` is held as a tree.

mod base64;
mod fault;
mod from;
mod mask;
mod number;
mod plain;
mod scan;
mod schema;
mod scratch;
mod time;
mod to;
mod wire;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tonic::Status;

pub(crate) use self::base64::decode_url_safe;
pub(crate) use self::scratch::{buffer, finish, written};
use fault::Fault;
use from::Reader;
use schema::Schema;
use to::JsonWriter;

/// What the rules leave open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct JsonOptions {
    /// Refuses names that no field has. Otherwise they are ignored.
    pub(crate) refuse_unknown_fields: bool,
    /// Writes fields that have their default value, and empty lists and maps. Otherwise they are left out.
    pub(crate) write_defaults: bool,
}

/// Converts messages between protobuf and JSON. It compiles each message type of the first descriptor pool that it sees,
/// once, when the type is first used; clones share that. Messages of other pools are converted too, but slowly.
#[derive(Debug, Clone, Default)]
pub(crate) struct JsonCodec {
    options: JsonOptions,
    schema: Arc<OnceLock<Schema>>,
}

impl JsonCodec {
    pub(crate) fn new(options: JsonOptions) -> Self {
        Self { options, schema: Arc::default() }
    }

    /// Appends the protobuf of a message in JSON.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`: what is wrong with the text, in which field, at which line and column. A part of the message
    /// may have been appended.
    pub(crate) fn decode_to(
        &self,
        message: &MessageDescriptor,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let name = message.full_name();
        let text = std::str::from_utf8(json).map_err(|error| {
            let valid = str::from_utf8(&json[..error.valid_up_to()]).unwrap_or_default();
            Fault::new(valid.len(), "text is not UTF-8").into_status(name, valid)
        })?;
        if text.starts_with('\u{feff}') {
            return Err(Fault::new(0, "text begins with a byte order mark").into_status(name, text));
        }
        self.with_schema(message.parent_pool(), |schema| {
            let reader = Reader::new(schema, text, self.options.refuse_unknown_fields, out);
            reader.read(message).map_err(|fault| fault.into_status(name, text))
        })
    }

    /// Appends the JSON of a message in protobuf.
    ///
    /// # Errors
    ///
    /// `INTERNAL`, since the service wrote the message: it is not protobuf, or has no JSON form. A part of the message
    /// may have been appended.
    pub(crate) fn encode_to(
        &self,
        message: &MessageDescriptor,
        protobuf: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        self.with_schema(message.parent_pool(), |schema| {
            scratch::with_spans(|spans| {
                let writer = JsonWriter::new(schema, self.options.write_defaults, out, spans);
                let written = writer.write(message, protobuf);
                written.map_err(|broken| broken.into_status(message.full_name()))
            })
        })
    }

    /// The JSON of a message in protobuf: see [`encode_to`](Self::encode_to).
    pub(crate) fn encode(
        &self,
        message: &MessageDescriptor,
        protobuf: impl AsRef<[u8]>,
    ) -> Result<Bytes, Status> {
        written(|out| self.encode_to(message, protobuf.as_ref(), out))
    }

    /// The member `debug` of an error's detail: the JSON of its message. `None` if its type is not in the pool, or if the
    /// message has no JSON form.
    pub(crate) fn debug(
        &self,
        pool: &DescriptorPool,
        type_name: &str,
        value: &[u8],
    ) -> Option<serde_json::Value> {
        let json = self.encode(&pool.get_message_by_name(type_name)?, value).ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn with_schema<T>(&self, pool: &DescriptorPool, with: impl FnOnce(&Schema) -> T) -> T {
        let schema = self.schema.get_or_init(|| Schema::new(pool));
        if schema.is_of(pool) { with(schema) } else { with(&Schema::new(pool)) }
    }
}

#[cfg(test)]
mod tests;
