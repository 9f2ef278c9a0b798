use std::time::Duration;

use tonic::Status;
use tonic_call::Deadline;

/// When a call ends, and whose limit that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) deadline: Deadline,
    pub(crate) set_by: SetBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// The `grpc-timeout` of the request.
    Caller,
    /// A setting of the server's layer.
    Server(Duration),
    /// A setting of the client's layer.
    Client(Duration),
    /// The deadline of the inbound call, of which this outbound call is a part.
    Inbound,
}

impl Limit {
    pub(crate) fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).min_by_key(|limit| limit.deadline)
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.deadline.has_passed()
    }

    /// What the caller gets when the limit is reached.
    pub(crate) fn status(self) -> Status {
        Status::deadline_exceeded(match self.set_by {
            SetBy::Caller => "the caller's deadline has passed".to_owned(),
            SetBy::Server(limit) => {
                format!("the server's limit of {limit:?} for this call has passed")
            }
            SetBy::Client(limit) => {
                format!("the client's limit of {limit:?} for this call has passed")
            }
            SetBy::Inbound => "the deadline of the inbound call has passed".to_owned(),
        })
    }
}
