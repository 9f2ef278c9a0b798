//! Reads messages and trailers from body data, in any protocol.

use http::HeaderMap;

use crate::observe::Protocol;
use crate::observe::message::{Message, MessageReader};
use crate::observe::web::WebReader;

/// Finds the messages in a body, and the trailers if the protocol puts them there.
#[derive(Debug)]
pub(crate) enum BodyReader {
    Grpc(MessageReader),
    /// Boxed to keep the state of a plain gRPC body small.
    Web(Box<WebReader>),
}

impl BodyReader {
    /// A reader for a body in this protocol. Without one, plain gRPC is assumed.
    pub(crate) fn of(protocol: Option<Protocol>) -> Self {
        match protocol {
            Some(Protocol::GrpcWeb) => Self::Web(Box::new(WebReader::binary())),
            Some(Protocol::GrpcWebText) => Self::Web(Box::new(WebReader::text())),
            Some(Protocol::Grpc | Protocol::Connect) | None => Self::default(),
        }
    }

    /// Calls `message` for each message that ends in this data. Returns the trailers if they end in it: nothing
    /// follows them.
    pub(crate) fn read(&mut self, data: &[u8], message: impl FnMut(Message)) -> Option<HeaderMap> {
        match self {
            Self::Grpc(messages) => {
                messages.read(data, message);
                None
            }
            Self::Web(web) => web.read(data, message),
        }
    }
}

impl Default for BodyReader {
    fn default() -> Self {
        Self::Grpc(MessageReader::default())
    }
}
