//! Which limit a call has.

use std::time::Duration;

use http::{HeaderMap, request};
use tokio::time::Instant;
use tonic::Status;
use tonic_call::{
    CallInfo, Deadline, EndedBy, GRPC_TIMEOUT, Method, MethodTable, Methods, Rpc, Side,
    format_timeout, parse_timeout, timeout_of,
};

use super::deadlines::ClientDeadlines;
use crate::enforce::{Limit, SetBy};
use crate::refusal;

/// The settings of a layer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) deadlines: ClientDeadlines,
    pub(super) methods: Option<Methods>,
    pub(super) margin: Duration,
}

/// The settings, looked up for each known method.
pub(super) struct Limits {
    settings: Settings,
    known: MethodTable<Option<Option<Duration>>>,
    /// Whether the client has a limit of its own for any method.
    are_set: bool,
}

impl Limits {
    pub(super) fn new(settings: Settings) -> Self {
        let of = |rpc: &Rpc, method: &Method| settings.deadlines.of(rpc, Some(method.kind()));
        let known = settings.methods.as_ref().map(|methods| MethodTable::for_each(methods, of));
        let known = known.unwrap_or_default();
        Self { known, are_set: settings.deadlines.are_set(), settings }
    }

    /// The client's own limit.
    fn client(&self, head: &request::Parts) -> Option<Limit> {
        // Without settings, a call needs no look-up of its method.
        let rpc = self.are_set.then(|| Rpc::from_head(head))?;
        let limit =
            self.known.get(&rpc).unwrap_or_else(|| self.settings.deadlines.of(&rpc, None))?;
        Some(Limit { deadline: Deadline::after(limit)?, set_by: SetBy::Client(limit) })
    }

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
        let ours = Limit::earlier(self.client(head), self.inbound(head));
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
        let deadline = at.checked_sub(self.settings.margin).unwrap_or_else(Instant::now).into();
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
