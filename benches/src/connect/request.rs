use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use prost::Message as _;
use tonic_call_test_kit::frame_of;

use super::frames::Frames;
use super::reflected::Reflected;
use super::{Format, Kind, MESSAGES, shop};

/// A call, ready to be made many times.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub kind: Kind,
    /// How it is called.
    pub format: Format,
    method: Method,
    path: Uri,
    headers: HeaderMap,
    frames: Vec<Bytes>,
}

impl Call {
    /// `None` if there is no such call: gRPC has no `GET`, and tonic is built without gzip here.
    pub fn of(kind: Kind, format: Format) -> Option<Self> {
        if format == Format::Grpc && matches!(kind, Kind::Get | Kind::Gzip) {
            return None;
        }
        let message = message(kind, format);
        let mut headers = headers(kind, format);
        let mut path = Uri::from_static(kind.path());
        let mut method = Method::POST;
        let mut frames = match kind {
            _ if format == Format::Grpc || kind.is_stream() => vec![frame_of(&message)],
            _ => vec![message.clone()],
        };
        match kind {
            Kind::Bidi => frames = vec![frames[0].clone(); MESSAGES as usize],
            Kind::Gzip => {
                frames = vec![gzip(&message)];
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            Kind::Get => {
                path = query(format, &message);
                frames.clear();
                method = Method::GET;
                headers.remove(CONTENT_TYPE);
            }
            _ => {}
        }
        Some(Self { kind, format, method, path, headers, frames })
    }

    /// The call that gRPC has in the place of this one.
    ///
    /// # Panics
    ///
    /// Never: it exists.
    pub fn in_grpc(&self) -> Self {
        let kind = match self.kind {
            Kind::Get => Kind::Small,
            Kind::Gzip => Kind::Order,
            kind => kind,
        };
        Self::of(kind, Format::Grpc).expect("gRPC has it")
    }

    /// The message that a call sends, in protobuf and in JSON.
    pub fn messages(kind: Kind) -> (Bytes, Bytes) {
        (message(kind, Format::Proto), message(kind, Format::Json))
    }

    /// The request, to be sent to this authority (`http://host:port`, or nothing).
    ///
    /// # Panics
    ///
    /// If the authority is malformed.
    pub fn request(&self, authority: Option<&Uri>) -> Request<Frames> {
        let mut request = Request::new(Frames::of(&self.frames));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        *request.uri_mut() = match authority {
            None => self.path.clone(),
            Some(authority) => {
                let mut parts = authority.clone().into_parts();
                parts.path_and_query = self.path.path_and_query().cloned();
                Uri::from_parts(parts).expect("a URI")
            }
        };
        request
    }
}

fn headers(kind: Kind, format: Format) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut insert = |name, value| headers.insert(name, HeaderValue::from_static(value));
    insert(USER_AGENT, "bench/1.0");
    let content_type = match (format, kind.is_stream()) {
        (Format::Grpc, _) => "application/grpc",
        (Format::Proto, false) => "application/proto",
        (Format::Json, false) => "application/json",
        (Format::Proto, true) => "application/connect+proto",
        (Format::Json, true) => "application/connect+json",
    };
    insert(CONTENT_TYPE, content_type);
    match format {
        Format::Grpc => insert(TE, "trailers"),
        _ => insert(HeaderName::from_static("connect-protocol-version"), "1"),
    };
    headers
}

fn message(kind: Kind, format: Format) -> Bytes {
    let (name, protobuf) = if kind.sends_order() {
        ("shop.v1.Order", shop::order().encode_to_vec())
    } else {
        ("shop.v1.Small", shop::small(7).encode_to_vec())
    };
    match format {
        Format::Json => Reflected::new(name).to_json(&protobuf).into(),
        Format::Grpc | Format::Proto => protobuf.into(),
    }
}

fn query(format: Format, message: &[u8]) -> Uri {
    let encoding = if format == Format::Json { "json" } else { "proto" };
    let mut path = BytesMut::from(Kind::Get.path());
    path.put_slice(format!("?connect=v1&encoding={encoding}&base64=1&message=").as_bytes());
    path.put_slice(URL_SAFE_NO_PAD.encode(message).as_bytes());
    Uri::from_maybe_shared(path.freeze()).expect("a path")
}

fn gzip(message: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).expect("memory takes it");
    encoder.finish().expect("memory takes it").into()
}
