//! Which limits a call has.

use std::time::Duration;

use http::request;
use tonic_call::{
    CallInfo, Deadline, Method, MethodKind, MethodTable, Methods, Rejection, Rpc, Side, timeout_of,
};

use crate::enforce::{Limit, SetBy};
use crate::refusal;

/// The settings of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) unary: KindLimits,
    pub(super) stream: KindLimits,
    pub(super) stall: MethodTable<Option<Duration>>,
    pub(super) required: MethodTable<bool>,
    pub(super) methods: Option<Methods>,
}

/// The server's own limits for unary methods, or for streams.
#[derive(Clone, Debug, Default)]
pub(super) struct KindLimits {
    /// For callers without a deadline.
    pub(super) default: MethodTable<Option<Duration>>,
    pub(super) cap: MethodTable<Option<Duration>>,
}

/// The settings for one method.
#[derive(Clone, Copy)]
struct MethodLimits {
    kind: Option<MethodKind>,
    default: Option<Duration>,
    cap: Option<Duration>,
    stall: Option<Duration>,
    required: bool,
}

/// The settings, looked up for each known method.
pub(super) struct Limits {
    settings: Settings,
    known: MethodTable<Option<MethodLimits>>,
    /// Whether a call can have a limit that its caller has not set, or be refused for not having one.
    are_set: bool,
}

/// The limits of one call.
#[derive(Default)]
pub(super) struct CallLimits {
    /// For the whole call.
    pub(super) call: Option<Limit>,
    /// For the time to the head of the response.
    pub(super) head: Option<Limit>,
    /// How long the caller may read nothing.
    pub(super) stall: Option<Duration>,
}

impl Settings {
    fn are_set(&self) -> bool {
        let [unary, stream] = [&self.unary, &self.stream];
        let limits = [&unary.default, &unary.cap, &stream.default, &stream.cap, &self.stall];
        limits.iter().any(|limits| limits.iter().any(|(_, limit)| limit.is_some()))
            || self.required.iter().any(|(_, required)| *required)
    }

    fn of(&self, rpc: &Rpc, kind: Option<MethodKind>) -> MethodLimits {
        let of_kind = match kind {
            None | Some(MethodKind::Unary) => &self.unary,
            Some(_) => &self.stream,
        };
        let required = match self.required.rule(rpc) {
            Some(required) => *required,
            None => *self.required.get(rpc) && !rpc.is_infrastructure(),
        };
        let (default, cap) = (*of_kind.default.get(rpc), *of_kind.cap.get(rpc));
        MethodLimits { kind, default, cap, stall: *self.stall.get(rpc), required }
    }
}

impl Limits {
    pub(super) fn new(settings: Settings) -> Self {
        let of = |rpc: &Rpc, method: &Method| settings.of(rpc, Some(method.kind()));
        let known = settings.methods.as_ref().map(|methods| MethodTable::for_each(methods, of));
        let known = known.unwrap_or_default();
        Self { known, are_set: settings.are_set(), settings }
    }

    /// The limits of a call that arrives now, or why it is refused.
    pub(super) fn of(&self, head: &mut request::Parts) -> Result<CallLimits, Rejection> {
        let timeout = timeout_of(&head.headers).map_err(|error| refusal::malformed(&error))?;
        // Without settings, most calls need no look-up of their method.
        if timeout.is_none() && !self.are_set {
            return Ok(CallLimits::default());
        }
        let rpc = Rpc::from_head(head);
        let method = self.known.get(&rpc).unwrap_or_else(|| self.settings.of(&rpc, None));
        if timeout.is_none() && method.required {
            return Err(refusal::required());
        }
        let caller = timeout.and_then(|timeout| {
            let info = CallInfo::get_or_insert(Side::Server, &mut head.extensions);
            Some(Limit { deadline: info.caller_deadline(timeout)?, set_by: SetBy::Caller })
        });
        if caller.is_some_and(|limit| limit.deadline.has_passed()) {
            return Err(refusal::expired());
        }
        let server = method.limit(timeout.is_some());
        let (call, head) = match method.kind {
            Some(_) => (Limit::earlier(caller, server), None),
            None => (caller, server),
        };
        Ok(CallLimits { call, head, stall: method.stall })
    }
}

impl MethodLimits {
    fn limit(&self, caller_has_one: bool) -> Option<Limit> {
        let default = self.default.filter(|_| !caller_has_one);
        let limit = default.into_iter().chain(self.cap).min()?;
        Some(Limit { deadline: Deadline::after(limit)?, set_by: SetBy::Server(limit) })
    }
}

impl CallLimits {
    /// Whether nothing has to be enforced.
    pub(super) fn is_unlimited(&self) -> bool {
        self.call.is_none() && self.head.is_none() && self.stall.is_none()
    }
}
