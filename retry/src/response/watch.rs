use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_call::{AnsweredRequest, MessageLimit, RetryPolicy};

use crate::policy::Throttle;

/// What is still to be seen of a call whose head the caller has.
pub(crate) struct Watch {
    /// Counts how the call ends.
    pub(crate) throttle: Option<(Arc<Throttle>, Option<RetryPolicy>)>,
    /// The limit of the response's messages.
    pub(crate) limit: Option<MessageLimit>,
    /// The request, if its messages have a limit.
    pub(crate) request: Option<AnsweredRequest>,
}

impl Watch {
    /// Whether there is nothing to see.
    pub(crate) fn is_idle(&self) -> bool {
        self.throttle.is_none() && self.limit.is_none() && self.request.is_none()
    }

    /// The status to end with, because a message of the request is too long.
    pub(super) fn poll_request(&self, cx: &Context<'_>) -> Poll<Status> {
        self.request.as_ref().map_or(Poll::Pending, |request| request.poll_too_long(cx))
    }

    /// The status to end with, because a message of the response is too long.
    pub(super) fn check(&mut self, data: &[u8]) -> Result<(), Status> {
        let Some(limit) = &mut self.limit else { return Ok(()) };
        limit.check(data).map_err(|len| {
            let max = limit.max();
            let text =
                format!("a response message of {len} bytes is longer than the limit of {max}");
            Status::resource_exhausted(text)
        })
    }

    pub(crate) fn ended_with(&self, trailers: &HeaderMap) {
        let code = trailers.get(Status::GRPC_STATUS);
        self.ended(code.map_or(Code::Unknown, |code| Code::from_bytes(code.as_bytes())));
    }

    pub(super) fn ended(&self, code: Code) {
        let Some((throttle, policy)) = &self.throttle else { return };
        match code {
            Code::Ok => throttle.succeeded(),
            code if policy.as_ref().is_some_and(|policy| policy.is_retryable(code)) => {
                throttle.failed();
            }
            _ => {}
        }
    }
}
