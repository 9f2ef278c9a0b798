//! The two codecs of messages, and the content types that name them.

use bytes::Bytes;
use http::HeaderValue;
use prost_reflect::MessageDescriptor;
use tonic::Status;

use crate::settings::Settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Proto,
    Json,
}

impl Codec {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "proto" => Some(Self::Proto),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The content type of a message, or of a stream of messages.
    pub(crate) fn content_type(self, is_stream: bool) -> HeaderValue {
        // Checked when this is compiled: at run time it would be checked in each call.
        const PROTO: HeaderValue = HeaderValue::from_static("application/proto");
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const PROTO_STREAM: HeaderValue = HeaderValue::from_static("application/connect+proto");
        const JSON_STREAM: HeaderValue = HeaderValue::from_static("application/connect+json");
        match (self, is_stream) {
            (Self::Proto, false) => PROTO,
            (Self::Json, false) => JSON,
            (Self::Proto, true) => PROTO_STREAM,
            (Self::Json, true) => JSON_STREAM,
        }
    }

    /// Appends the protobuf form of a message.
    pub(crate) fn decode_to(
        self,
        settings: &Settings,
        message: &MessageDescriptor,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        match self {
            Self::Proto => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Self::Json => settings.json.decode_to(message, bytes, out),
        }
    }

    /// The message in this codec, from its protobuf form.
    pub(crate) fn encode(
        self,
        settings: &Settings,
        message: &MessageDescriptor,
        protobuf: Bytes,
    ) -> Result<Bytes, Status> {
        match self {
            Self::Proto => Ok(protobuf),
            Self::Json => settings.json.encode(message, protobuf),
        }
    }

    /// Appends the message in this codec.
    pub(crate) fn encode_to(
        self,
        settings: &Settings,
        message: &MessageDescriptor,
        protobuf: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        match self {
            Self::Proto => {
                out.extend_from_slice(protobuf);
                Ok(())
            }
            Self::Json => settings.json.encode_to(message, protobuf, out),
        }
    }
}
