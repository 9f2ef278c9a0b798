//! The protocols that carry gRPC calls over HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use tonic::Status;

use crate::observe::headers;

/// The protocol of a call.
///
/// tonic itself serves only gRPC. Layers in front of it translate the others: tonic-web both forms of gRPC-Web,
/// and `tonic-connect-layer` Connect. [`of`](Self::of) reads the content type of a request or response: a layer
/// outside tonic-web sees gRPC-Web, and must answer in it. [`of_call`](Self::of_call) is the protocol of the
/// caller, also for a layer that sees the translated request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `application/grpc…`: the status is in the trailers.
    #[default]
    Grpc,
    /// `application/grpc-web…`: the status is in a frame at the end of the body.
    GrpcWeb,
    /// `application/grpc-web-text…`: the same in base64.
    GrpcWebText,
    /// Connect, which a layer translates into gRPC. No content type names it here: that layer inserts this value
    /// into the request's extensions. The layers inside it see gRPC and answer in it.
    Connect,
}

const GRPC: &[u8] = b"application/grpc";
const WEB: &[u8] = b"application/grpc-web";
const WEB_TEXT: &[u8] = b"application/grpc-web-text";

/// Marks the trailers frame of a gRPC-Web body (gRPC-Web, "Message framing").
pub(crate) const TRAILERS_FLAG: u8 = 0x80;

impl Protocol {
    /// The protocol of a request or response; `None` if the content type is missing or not gRPC's. Media types
    /// are case-insensitive (RFC 9110, 8.3.1).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::named(headers::find(headers, &CONTENT_TYPE)?)
    }

    /// The protocol for the response to a request. For gRPC-Web, the `accept` header selects binary or text, by
    /// the same rule as in tonic-web.
    pub fn of_answer(request: &HeaderMap) -> Option<Self> {
        match Self::of(request)? {
            Self::Grpc | Self::Connect => Some(Self::Grpc),
            Self::GrpcWeb | Self::GrpcWebText => Some(match headers::find(request, &ACCEPT) {
                Some(accept)
                    if accept == "application/grpc-web-text"
                        || accept == "application/grpc-web-text+proto" =>
                {
                    Self::GrpcWebText
                }
                _ => Self::GrpcWeb,
            }),
        }
    }

    fn named(kind: &HeaderValue) -> Option<Self> {
        let kind = kind.as_bytes();
        // What nearly all have.
        if kind == GRPC {
            return Some(Self::Grpc);
        }
        let is = |prefix: &[u8]| {
            kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        match () {
            () if is(WEB_TEXT) => Some(Self::GrpcWebText),
            () if is(WEB) => Some(Self::GrpcWeb),
            () if is(GRPC) => Some(Self::Grpc),
            () => None,
        }
    }

    /// A trailers-only response: HTTP status 200, the content type, and the status.
    pub fn respond<B: Default>(self, status: Status) -> Response<B> {
        let mut response = status.into_http();
        if let Self::GrpcWeb | Self::GrpcWebText = self {
            response.headers_mut().insert(CONTENT_TYPE, self.content_type());
        }
        response
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc | Self::Connect => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::GrpcWebText => "application/grpc-web-text+proto",
        })
    }

    /// The last frame of a body, which carries the trailers in this protocol.
    pub(crate) fn last_frame(self, trailers: HeaderMap) -> Frame<Bytes> {
        match self {
            Self::Grpc | Self::Connect => Frame::trailers(trailers),
            Self::GrpcWeb => Frame::data(trailers_frame(&trailers)),
            Self::GrpcWebText => Frame::data(STANDARD.encode(trailers_frame(&trailers)).into()),
        }
    }
}

/// Whether the content type of a request or response is gRPC's: `application/grpc…`, in any case (gRPC over
/// HTTP/2, "Content-Type"; RFC 9110, 8.3.1). `None` if it is missing or empty.
pub fn is_grpc(headers: &HeaderMap) -> Option<bool> {
    headers::find(headers, &CONTENT_TYPE).filter(|kind| !kind.is_empty())?;
    Some(Protocol::of(headers).is_some())
}

/// A frame of a gRPC-Web body: the flag, the length, and a block of `name: value` lines.
fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(TRAILERS_FLAG);
    frame.put_u32(0);
    for (name, value) in trailers {
        frame.put_slice(name.as_str().as_bytes());
        frame.put_u8(b':');
        frame.put_slice(value.as_bytes());
        frame.put_slice(b"\r\n");
    }
    // Header sizes are limited to far less.
    let len = u32::try_from(frame.len() - 5).unwrap_or(u32::MAX);
    frame[1..5].copy_from_slice(&len.to_be_bytes());
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_type: &'static str, accept: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        headers
    }

    #[test]
    fn a_content_type_names_the_protocol_in_any_case() {
        for (kind, protocol) in [
            ("application/grpc", Some(Protocol::Grpc)),
            ("APPLICATION/GRPC", Some(Protocol::Grpc)),
            ("Application/gRPC+proto", Some(Protocol::Grpc)),
            ("application/grpc;charset=utf-8", Some(Protocol::Grpc)),
            ("application/grpc-web", Some(Protocol::GrpcWeb)),
            ("Application/gRPC-Web", Some(Protocol::GrpcWeb)),
            ("application/grpc-web+proto", Some(Protocol::GrpcWeb)),
            ("application/grpc-web-text", Some(Protocol::GrpcWebText)),
            ("application/GRPC-WEB-TEXT+proto", Some(Protocol::GrpcWebText)),
            ("application/json", None),
            ("application/grp", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Protocol::of(&headers(kind, None)), protocol, "{kind}");
        }
        assert_eq!(Protocol::of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_web_request_is_answered_in_the_form_it_accepts() {
        for (kind, accept, protocol) in [
            ("application/grpc", Some("application/grpc-web-text"), Some(Protocol::Grpc)),
            ("application/grpc-web", None, Some(Protocol::GrpcWeb)),
            ("application/grpc-web-text", None, Some(Protocol::GrpcWeb)),
            ("application/grpc-web-text", Some("*/*"), Some(Protocol::GrpcWeb)),
            (
                "application/grpc-web",
                Some("application/grpc-web-text"),
                Some(Protocol::GrpcWebText),
            ),
            (
                "application/grpc-web-text",
                Some("application/grpc-web-text+proto"),
                Some(Protocol::GrpcWebText),
            ),
            ("application/json", Some("application/grpc-web-text"), None),
        ] {
            let answer = Protocol::of_answer(&headers(kind, accept));
            assert_eq!(answer, protocol, "{kind} {accept:?}");
        }
    }
}
