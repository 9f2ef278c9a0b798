//! A layer's own answer instead of the inner service's.

use http::{Extensions, Response};
use tonic::Status;

use crate::answer::AnswerBody;
use crate::observe::{CallInfo, Refusal};

/// A refusal and the status that is sent to the caller.
///
/// ```
/// # use tonic_call::{AnswerBody, CallInfo, Refusal, Rejection, Side};
/// # use tonic::{Code, Status};
/// let mut request = http::Request::new(());
/// let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
///
/// let status = Status::resource_exhausted("too many calls, try again later");
/// let rejection = Rejection::new(Refusal::new("ratelimit", "per_second"), status);
/// let response: http::Response<AnswerBody<tonic::body::Body>> =
///     rejection.into_response(request.extensions());
///
/// assert_eq!(response.headers()["grpc-status"], "8");
/// assert_eq!(info.refusal().unwrap().by, "ratelimit");
/// ```
#[derive(Debug)]
pub struct Rejection {
    refusal: Refusal,
    status: Status,
}

impl Rejection {
    /// Refuses a call. Only the status is sent to the caller; the refusal is for the operator.
    pub fn new(refusal: Refusal, status: Status) -> Self {
        Self { refusal, status }
    }

    /// The status that is sent to the caller.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The layer that refuses, and its reason.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Returns the status to send, and records the refusal in the call's [`CallInfo`], if there is one; a
    /// client layer must first [get or insert](CallInfo::get_or_insert) the one for its side.
    pub fn into_status(self, request: &Extensions) -> Status {
        if let Some(info) = CallInfo::of(request) {
            info.add_refusal(self.refusal);
        }
        self.status
    }

    /// Like [`into_status`](Self::into_status), as a trailers-only response.
    pub fn into_response<B>(self, request: &Extensions) -> Response<AnswerBody<B>> {
        self.into_status(request).into_http()
    }
}
