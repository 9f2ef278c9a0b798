use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_call::{as_error, code_of_error};

use super::details::RpcStatus;

/// The error of a call, without its metadata.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Vec<prost_types::Any>,
}

/// gRPC implementations write binary headers with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// How a call with these trailers ended. Without a status in them it has failed.
    pub(crate) fn in_trailers(trailers: &HeaderMap) -> Option<Self> {
        match trailers.get(Status::GRPC_STATUS) {
            Some(status) => Self::with_code(Code::from_bytes(status.as_bytes()), trailers),
            None => Some(Self::without_status()),
        }
    }

    /// The failure with this code, and the text and details of the headers. `None` for OK.
    ///
    /// Malformed headers cost only themselves; `Status::from_header_map` would panic.
    pub(crate) fn with_code(code: Code, headers: &HeaderMap) -> Option<Self> {
        if code == Code::Ok {
            return None;
        }
        let text =
            |value: &HeaderValue| percent_decode(value.as_bytes()).decode_utf8_lossy().into();
        let message = headers.get(Status::GRPC_MESSAGE).map(text).unwrap_or_default();
        let details = headers.get(Status::GRPC_STATUS_DETAILS);
        let details = details.and_then(|value| BASE64.decode(value).ok()).unwrap_or_default();
        Some(Self { code, message, details: details_of(&details) })
    }

    /// The call ended without a status.
    pub(crate) fn without_status() -> Self {
        Self::new(Code::Unknown, "the service ended the call without a status")
    }

    /// The answer can't be translated.
    pub(crate) fn malformed() -> Self {
        Self::new(Code::Internal, "the answer of the service is malformed")
    }

    /// The failure of a response body. The text of an error that is no status is not for the caller.
    pub(crate) fn of_error<E: 'static>(error: &E) -> Self {
        let error = as_error(error);
        if let Some(status) = error.and_then(|error| error.downcast_ref::<Status>()) {
            return Self::from(status);
        }
        let code = error.map_or(Code::Unknown, code_of_error);
        Self::new(code, "the answer of the service broke off")
    }
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let code = match status.code() {
            Code::Ok => Code::Internal,
            code => code,
        };
        let details = details_of(status.details());
        Self { code, message: status.message().to_owned(), details }
    }
}

fn details_of(encoded: &[u8]) -> Vec<prost_types::Any> {
    RpcStatus::decode(Bytes::copy_from_slice(encoded)).unwrap_or_default().details
}
