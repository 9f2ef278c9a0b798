//! What a client got, in one form for both protocols.

use std::collections::BTreeMap;

use http::HeaderMap;
use prost::{Message as _, Name as _};
use prost_types::Any;
use tonic::Code;
use tonic::metadata::{KeyAndValueRef, MetadataMap};

use crate::proto::grpc::ConformancePayload;
use crate::proto::grpc::conformance_payload::RequestInfo;

/// Names with `x-`, each with all its values; binary ones decoded.
pub(crate) type Metadata = BTreeMap<String, Vec<Vec<u8>>>;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) leading: Metadata,
    pub(crate) messages: Vec<ConformancePayload>,
    pub(crate) trailing: Metadata,
    pub(crate) failure: Option<Failure>,
}

/// The error at the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Vec<Any>,
}

impl Answer {
    pub(crate) fn add(&mut self, payload: Option<ConformancePayload>) {
        let mut payload = payload.unwrap();
        payload.request_info = payload.request_info.map(comparable);
        self.messages.push(payload);
    }

    /// The answer with all metadata in one place: tonic's client does not keep them apart in unary calls.
    pub(crate) fn joined(mut self) -> Self {
        for (name, values) in std::mem::take(&mut self.trailing) {
            self.leading.entry(name).or_default().extend(values);
        }
        self
    }

    pub(crate) fn data(&self) -> Vec<&[u8]> {
        self.messages.iter().map(|message| message.data.as_slice()).collect()
    }
}

impl Failure {
    pub(crate) fn new(code: Code, message: &str, details: Vec<Any>) -> Self {
        Self {
            code,
            message: message.to_owned(),
            details: details.into_iter().map(of_any).collect(),
        }
    }
}

/// The metadata of the test among these headers.
pub(crate) fn metadata(headers: &HeaderMap) -> Metadata {
    let mut found = Metadata::new();
    for entry in MetadataMap::from_headers(headers.clone()).iter() {
        let (name, value) = match entry {
            KeyAndValueRef::Ascii(name, value) => (name.as_str(), value.as_bytes().to_vec()),
            KeyAndValueRef::Binary(name, value) => {
                (name.as_str(), value.to_bytes().unwrap().to_vec())
            }
        };
        if name.starts_with("x-") {
            found.entry(name.to_owned()).or_default().push(value);
        }
    }
    found
}

/// What the server saw of the request, without what belongs to the protocol.
fn comparable(mut info: RequestInfo) -> RequestInfo {
    info.timeout_ms = None;
    info.request_headers.retain(|header| header.name.starts_with("x-"));
    info.request_headers.sort_by(|one, other| one.name.cmp(&other.name));
    for header in &mut info.request_headers {
        if header.name.ends_with("-bin") {
            for value in &mut header.value {
                // Both forms of base64 are right.
                value.truncate(value.trim_end_matches('=').len());
            }
        }
    }
    info
}

/// A detail in one form. The service puts a `RequestInfo` among those of a unary call.
fn of_any(detail: Any) -> Any {
    let name = detail.type_url.rsplit('/').next().unwrap();
    let value = if name == RequestInfo::full_name() {
        comparable(RequestInfo::decode(detail.value.as_slice()).unwrap()).encode_to_vec()
    } else {
        detail.value
    };
    Any { type_url: name.to_owned(), value }
}
