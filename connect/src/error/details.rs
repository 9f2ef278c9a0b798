//! The messages of error details that have a meaning here.

use http::HeaderValue;
use prost::Message as _;

/// `google.rpc.Status`, which `grpc-status-details-bin` contains.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// The full name of the message in a detail.
pub(crate) fn type_name(detail: &prost_types::Any) -> &str {
    detail.type_url.rsplit('/').next().unwrap_or_default()
}

/// The seconds of a `RetryInfo`, rounded up, for HTTP's `retry-after`.
pub(crate) fn retry_after(details: &[prost_types::Any]) -> Option<HeaderValue> {
    let info = details.iter().find(|any| type_name(any) == "google.rpc.RetryInfo")?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    Some(HeaderValue::from(seconds.saturating_add(u64::from(delay.nanos > 0))))
}
