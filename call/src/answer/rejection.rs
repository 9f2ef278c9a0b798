//! How a layer answers instead of the inner service.

use http::{Extensions, Response};
use tonic::Status;

use crate::answer::AnswerBody;
use crate::observe::{CallInfo, Refusal};

/// A refusal, with what the caller is told.
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
    /// Refuses a call. The status is all that the caller learns; the refusal is for the operator.
    pub fn new(refusal: Refusal, status: Status) -> Self {
        Self { refusal, status }
    }

    /// What the caller is told.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Who refuses, and why.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// What the caller is told. The refusal goes to the call's [`CallInfo`], if there is one; a layer of a
    /// client first [gets or inserts](CallInfo::get_or_insert) that of its side.
    pub fn into_status(self, request: &Extensions) -> Status {
        if let Some(info) = CallInfo::of(request) {
            info.add_refusal(self.refusal);
        }
        self.status
    }

    /// As [`into_status`](Self::into_status), made a trailers-only answer.
    pub fn into_response<B>(self, request: &Extensions) -> Response<AnswerBody<B>> {
        self.into_status(request).into_http()
    }
}
