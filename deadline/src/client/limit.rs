//! Which limit a call has.

use std::time::Duration;

use http::{HeaderMap, request};
use tokio::time::Instant;
use tonic::Status;
use tonic_call::{
    CallInfo, Deadline, EndedBy, GRPC_TIMEOUT, Methods, Rpc, Side, format_timeout, parse_timeout,
    timeout_of,
};

use super::deadlines::ClientDeadlines;
use crate::enforce::{Limit, SetBy};
use crate::refusal;

/// The settings of a layer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) deadlines: ClientDeadlines,
    /// Whether `deadlines` has any.
    pub(super) are_set: bool,
    pub(super) methods: Option<Methods>,
    pub(super) margin: Duration,
}

impl Settings {
    /// The limit of a call that is made now, which its header then says; the error is the answer to a call that is not
    /// sent.
    pub(super) fn set(&self, head: &mut request::Parts) -> Result<Option<Limit>, Status> {
        let timeout = timeout_of(&head.headers).map_err(|error| {
            refusal::record(Side::Client, &mut head.extensions, refusal::malformed(&error))
        })?;
        let caller = timeout.and_then(|timeout| {
            let info = CallInfo::get_or_insert(Side::Client, &mut head.extensions);
            let deadline = info.caller_deadline(timeout)?;
            Some(Limit { deadline, set_by: SetBy::Caller })
        });
        let client = self
            .are_set
            .then(|| self.deadlines.of(&Rpc::from_head(head), self.methods.as_ref()))
            .flatten();
        let client = client.and_then(|limit| {
            Some(Limit { deadline: Deadline::after(limit)?, set_by: SetBy::Client(limit) })
        });
        let ours = Limit::earlier(client, self.inbound(head));
        let Some(mut limit) = Limit::earlier(caller, ours) else { return Ok(None) };
        if limit.deadline.has_passed() {
            CallInfo::get_or_insert(Side::Client, &mut head.extensions)
                .set_ended_by(EndedBy::Deadline);
            return Err(limit.status());
        }
        if limit.set_by != SetBy::Caller {
            limit.deadline = send(limit.deadline, &mut head.headers);
        }
        head.extensions.insert(limit.deadline);
        Ok(Some(limit))
    }

    /// What is left of the call that this one is a part of.
    fn inbound(&self, head: &request::Parts) -> Option<Limit> {
        let given = Deadline::of(&head.extensions);
        let inbound = given.into_iter().chain(Deadline::current()).min()?;
        let at = inbound.instant();
        let deadline = at.checked_sub(self.margin).unwrap_or_else(Instant::now).into();
        Some(Limit { deadline, set_by: SetBy::Inbound })
    }
}

/// Sets the header of a call that is sent now. Returns the deadline that it says: its eight digits may round down.
pub(super) fn send(deadline: Deadline, headers: &mut HeaderMap) -> Deadline {
    let now = Instant::now();
    let left = deadline.instant().saturating_duration_since(now);
    let timeout = format_timeout(left);
    let sent = parse_timeout(&timeout).unwrap_or(left);
    headers.insert(GRPC_TIMEOUT, timeout);
    (now + sent).into()
}
