use http::{HeaderName, Request, request};
use tonic::body::Body;
use tonic_call::{CallInfo, Deadline, GRPC_TIMEOUT, Side, format_timeout, timeout_of};

/// The number of attempts before this one that the policy allowed (gRFC A6, "Exposed Retry Metadata").
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// The head that all attempts of a call have.
pub(super) struct Head {
    parts: request::Parts,
    /// That of the caller's `grpc-timeout`; `None` if there is none, or it is malformed: the server refuses that.
    pub(super) deadline: Option<Deadline>,
    /// The slot of the call, if a layer outside has inserted one.
    pub(super) info: Option<CallInfo>,
}

impl Head {
    pub(super) fn new(mut parts: request::Parts) -> Self {
        // It may be that of an inbound call whose metadata the caller passes on.
        parts.headers.remove(PREVIOUS_ATTEMPTS);
        let timeout = timeout_of(&parts.headers).ok().flatten().and_then(Deadline::after);
        // A deadline layer outside has the exact time.
        let deadline = timeout.map(|timeout| {
            Deadline::of(&parts.extensions).map_or(timeout, |deadline| deadline.min(timeout))
        });
        let info = CallInfo::of_side(Side::Client, &parts.extensions).cloned();
        Self { parts, deadline, info }
    }

    /// The slot of the next attempt.
    pub(super) fn new_attempt(&self) -> CallInfo {
        let of_call = self.info.as_ref();
        of_call.map_or_else(|| CallInfo::new(Side::Client), CallInfo::new_attempt)
    }

    /// The request of an attempt that is sent now.
    pub(super) fn request(&self, info: CallInfo, previous: u32, body: Body) -> Request<Body> {
        let mut parts = self.parts.clone();
        parts.extensions.insert(info);
        if let Some(deadline) = self.deadline {
            parts.headers.insert(GRPC_TIMEOUT, format_timeout(deadline.remaining()));
        }
        if previous > 0 {
            parts.headers.insert(PREVIOUS_ATTEMPTS, previous.into());
        }
        Request::from_parts(parts, body)
    }
}
