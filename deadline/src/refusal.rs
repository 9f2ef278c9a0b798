//! The calls that a layer refuses, and why.

use http::Extensions;
use tonic::Status;
use tonic_call::{CallInfo, GRPC_TIMEOUT, MalformedTimeout, Refusal, Rejection, Side};

/// The name of the layers in logs and metrics.
const LAYER: &str = "deadline";

pub(crate) fn malformed(error: &MalformedTimeout) -> Rejection {
    // The text names the header.
    Rejection::new(Refusal::new(LAYER, "TIMEOUT_MALFORMED"), Status::internal(error.to_string()))
}

pub(crate) fn expired() -> Rejection {
    let message = "the caller's deadline had passed when the call arrived";
    Rejection::new(Refusal::new(LAYER, "TIMEOUT_EXPIRED"), Status::deadline_exceeded(message))
}

pub(crate) fn required() -> Rejection {
    let message = format!("this method needs a deadline, in the header {GRPC_TIMEOUT}");
    Rejection::new(Refusal::new(LAYER, "DEADLINE_REQUIRED"), Status::invalid_argument(message))
}

/// Records a refusal in the [`CallInfo`] of the call; returns the status for the caller.
pub(crate) fn record(side: Side, extensions: &mut Extensions, refused: Rejection) -> Status {
    CallInfo::get_or_insert(side, extensions);
    refused.into_status(extensions)
}
