//! The JSON of errors and of the end of a stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};
use tonic_call::Protocol;

use super::Failure;
use super::details::type_name;
use crate::settings::Settings;

/// The body of a unary error (Connect, "Error").
pub(crate) fn error_body(settings: &Settings, failure: &Failure) -> Bytes {
    Value::Object(error(settings, failure)).to_string().into()
}

/// The message that ends a stream (Connect, "EndStreamResponse").
pub(crate) fn end_of_stream(
    settings: &Settings,
    failure: Option<&Failure>,
    metadata: &HeaderMap,
) -> Bytes {
    let mut end = Map::new();
    if let Some(failure) = failure {
        end.insert("error".to_owned(), error(settings, failure).into());
    }
    if !metadata.is_empty() {
        let names = metadata.keys().map(|name| {
            let values = metadata.get_all(name).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
            (name.as_str().to_owned(), Value::Array(values.collect()))
        });
        end.insert("metadata".to_owned(), Value::Object(names.collect()));
    }
    Value::Object(end).to_string().into()
}

fn error(settings: &Settings, failure: &Failure) -> Map<String, Value> {
    let mut error = Map::new();
    error.insert("code".to_owned(), Protocol::Connect.code_name(failure.code).into());
    if !failure.message.is_empty() {
        error.insert("message".to_owned(), failure.message.as_str().into());
    }
    if !failure.details.is_empty() {
        let details = failure.details.iter().map(|any| detail(settings, any));
        error.insert("details".to_owned(), details.collect());
    }
    error
}

fn detail(settings: &Settings, any: &prost_types::Any) -> Value {
    let mut detail = Map::new();
    let name = type_name(any);
    detail.insert("type".to_owned(), name.into());
    detail.insert("value".to_owned(), STANDARD_NO_PAD.encode(&any.value).into());
    if let Some(debug) = settings.json.debug(settings.methods.pool(), name, &any.value) {
        detail.insert("debug".to_owned(), debug);
    }
    Value::Object(detail)
}
