//! What the data of a body hold, whatever the protocol.

use http::HeaderMap;

use crate::observe::Protocol;
use crate::observe::message::{Message, MessageReader};
use crate::observe::web::WebReader;

/// Finds messages in a body, and the trailers of a protocol that has them there.
#[derive(Debug)]
pub(crate) enum BodyReader {
    Grpc(MessageReader),
    /// Boxed, so that bodies of plain gRPC are no larger for it.
    Web(Box<WebReader>),
}

impl BodyReader {
    /// For the body behind a head with these headers. Without a content type it is taken for gRPC's.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match Protocol::of(headers) {
            Some(Protocol::GrpcWeb) => Self::Web(Box::new(WebReader::binary())),
            Some(Protocol::GrpcWebText) => Self::Web(Box::new(WebReader::text())),
            Some(Protocol::Grpc) | None => Self::default(),
        }
    }

    /// Tells each message that ends in these data. The trailers, if they end in them too: nothing
    /// comes after those.
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
