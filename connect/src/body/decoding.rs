use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use super::prefixed::{append, with_prefix};
use crate::codec::Codec;
use crate::gzip::too_large;
use crate::json::written;
use crate::methods::{Method, MethodId};
use crate::settings::Settings;

/// How the messages of a request are decoded.
pub(crate) struct Decoding {
    pub(crate) settings: Arc<Settings>,
    pub(crate) method: MethodId,
    pub(crate) codec: Codec,
    pub(crate) gzip: bool,
}

impl Decoding {
    pub(crate) fn method(&self) -> &Method {
        self.settings.methods.get(self.method)
    }

    /// A message as a gRPC frame.
    pub(crate) fn frame(&self, message: &[u8]) -> Result<Bytes, Status> {
        match self.codec {
            Codec::Proto => with_prefix(0, message).ok_or_else(too_long),
            Codec::Json => written(|out| self.append_frame(message, out)),
        }
    }

    /// Appends a message as a gRPC frame, unless it is malformed.
    pub(crate) fn append_frame(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        let input = &self.method().input;
        let is_whole =
            append(out, |out| self.codec.decode_to(&self.settings, input, message, out))?;
        if is_whole { Ok(()) } else { Err(too_long()) }
    }
}

/// The length of a frame's message has four bytes.
fn too_long() -> Status {
    too_large("message", u32::MAX as usize)
}
