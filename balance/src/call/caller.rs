use http::{Extensions, HeaderMap};
use tonic_call::{CallInfo, Deadline, Side, WaitForReady};

/// What the caller, and the layers outside, want of a call.
pub(super) struct Caller {
    pub(super) deadline: Option<Deadline>,
    pub(super) waits_for_ready: Option<bool>,
    /// Where the end of the call is recorded.
    pub(super) info: Option<CallInfo>,
}

impl Caller {
    pub(super) fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        Self {
            deadline: Deadline::of(extensions)
                .or_else(|| Deadline::from_headers(headers).ok().flatten()),
            waits_for_ready: WaitForReady::of(extensions).map(|WaitForReady(waits)| waits),
            info: CallInfo::of_side(Side::Client, extensions).cloned(),
        }
    }
}
