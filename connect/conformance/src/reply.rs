//! Responses, trailers and errors as a request defines them.

use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};

use crate::info;
use crate::proto::conformance_payload::RequestInfo;
use crate::proto::unary_response_definition::Response as Outcome;
use crate::proto::{ConformancePayload, Error, Header, UnaryResponseDefinition};
use crate::trailers::Trailers;

/// The response of a call with one response, or its error.
pub(crate) fn unary<T>(
    definition: Option<UnaryResponseDefinition>,
    info: RequestInfo,
    message: impl FnOnce(ConformancePayload) -> T,
) -> Result<Response<T>, Status> {
    let definition = definition.unwrap_or_default();
    let data = match definition.response {
        Some(Outcome::Error(error)) => {
            // tonic sends the metadata of such an error in one header block.
            let mut metadata = headers(&definition.response_headers)?;
            append(&mut metadata, &definition.response_trailers)?;
            return Err(status(error, Some(&info), metadata));
        }
        Some(Outcome::ResponseData(data)) => data,
        None => Vec::new(),
    };
    let payload = ConformancePayload { data, request_info: Some(info) };
    with_metadata(message(payload), &definition.response_headers, &definition.response_trailers)
}

/// A response with headers and trailers.
pub(crate) fn with_metadata<T>(
    message: T,
    response_headers: &[Header],
    response_trailers: &[Header],
) -> Result<Response<T>, Status> {
    let mut response = Response::new(message);
    *response.metadata_mut() = MetadataMap::from_headers(headers(response_headers)?);
    response.extensions_mut().insert(Trailers(headers(response_trailers)?));
    Ok(response)
}

/// The error as a status. With `info`, the details contain it.
pub(crate) fn status(error: Error, info: Option<&RequestInfo>, metadata: HeaderMap) -> Status {
    let Error { code, message, mut details } = error;
    let message = message.unwrap_or_default();
    details.extend(info.map(info::any));
    let details = tonic_types::Status { code, message: message.clone(), details };
    let metadata = MetadataMap::from_headers(metadata);
    let details = details.encode_to_vec().into();
    Status::with_details_and_metadata(Code::from_i32(code), message, details, metadata)
}

fn headers(list: &[Header]) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::new();
    append(&mut headers, list)?;
    Ok(headers)
}

fn append(headers: &mut HeaderMap, list: &[Header]) -> Result<(), Status> {
    let invalid = |name: &str| Status::invalid_argument(format!("no header: {name:?}"));
    for Header { name, value } in list {
        let key = HeaderName::try_from(name).map_err(|_| invalid(name))?;
        for value in value {
            let value = HeaderValue::try_from(value).map_err(|_| invalid(name))?;
            headers.append(key.clone(), value);
        }
    }
    Ok(())
}
