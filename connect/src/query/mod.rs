//! The query of a GET: a message, and how it is encoded.
//!
//! | parameter | meaning |
//! |---|---|
//! | `message` | the message; it may be empty, but not absent |
//! | `encoding` | the codec: `json` or `proto` |
//! | `base64` | `1`: the message is in the URL-safe alphabet of base64, with padding or without |
//! | `compression` | the compression of the message, `gzip` or `identity` |
//! | `connect` | the version of the protocol: absent or `v1` |
//!
//! The order is free. Names and values are percent-encoded, and a space can be `+`. Parameters of other names are
//! ignored. One of these that comes twice is an error: implementations differ in which one counts, and a proxy in front
//! could have checked the other.

mod percent;

use std::borrow::Cow;

use bytes::Bytes;
use tonic::Status;

use crate::json::decode_url_safe;

/// What the query of a GET says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GetQuery<'q> {
    /// The name of the codec.
    pub(crate) codec: Cow<'q, str>,
    /// The message, without base64, but still compressed.
    pub(crate) message: Bytes,
    /// The name of the compression, if there is one.
    pub(crate) compression: Option<Cow<'q, str>>,
    /// Whether the query names the version of the protocol.
    pub(crate) is_v1: bool,
}

impl<'q> GetQuery<'q> {
    /// Reads the part of a URL behind its `?`.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, and which parameter is wrong.
    pub(crate) fn parse(query: &'q str) -> Result<Self, Status> {
        let mut raw = Raw::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some((name, slot)) = raw.slot(name) else { continue };
            if slot.replace(value).is_some() {
                return Err(Status::invalid_argument(format!(
                    "query parameter `{name}` comes twice"
                )));
            }
        }
        let is_v1 = match raw.connect.map(|value| text("connect", value)).transpose()?.as_deref() {
            None => false,
            Some("v1") => true,
            Some(_) => {
                return Err(Status::invalid_argument("query parameter `connect` is not `v1`"));
            }
        };
        let codec = text("encoding", raw.encoding.ok_or_else(|| missing("encoding"))?)?;
        let message = bytes("message", raw.message.ok_or_else(|| missing("message"))?)?;
        let base64 = raw.base64.map(|value| text("base64", value)).transpose()?;
        let message = if base64.as_deref() == Some("1") {
            decode_url_safe(&message).ok_or_else(|| {
                Status::invalid_argument("query parameter `message` is not URL-safe base64")
            })?
        } else {
            Bytes::copy_from_slice(&message)
        };
        let compression = raw.compression.map(|value| text("compression", value)).transpose()?;
        let compression = compression.filter(|name| !name.is_empty());
        Ok(Self { codec, message, compression, is_v1 })
    }
}

/// The values of the parameters, still percent-encoded.
#[derive(Default)]
struct Raw<'q> {
    connect: Option<&'q str>,
    encoding: Option<&'q str>,
    base64: Option<&'q str>,
    compression: Option<&'q str>,
    message: Option<&'q str>,
}

impl<'q> Raw<'q> {
    /// Where the value of this parameter belongs; `None` for one that the protocol does not have.
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'q str>)> {
        match &*percent::decode(name)? {
            b"connect" => Some(("connect", &mut self.connect)),
            b"encoding" => Some(("encoding", &mut self.encoding)),
            b"base64" => Some(("base64", &mut self.base64)),
            b"compression" => Some(("compression", &mut self.compression)),
            b"message" => Some(("message", &mut self.message)),
            _ => None,
        }
    }
}

fn missing(name: &str) -> Status {
    Status::invalid_argument(format!("query parameter `{name}` is missing"))
}

fn bytes<'q>(name: &str, value: &'q str) -> Result<Cow<'q, [u8]>, Status> {
    percent::decode(value).ok_or_else(|| {
        Status::invalid_argument(format!(
            "query parameter `{name}` is not percent-encoded correctly"
        ))
    })
}

fn text<'q>(name: &str, value: &'q str) -> Result<Cow<'q, str>, Status> {
    match bytes(name, value)? {
        // Nothing was decoded.
        Cow::Borrowed(_) => Ok(Cow::Borrowed(value)),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| {
            Status::invalid_argument(format!("query parameter `{name}` is not UTF-8"))
        }),
    }
}

#[cfg(test)]
mod tests;
