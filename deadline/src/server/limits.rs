//! Which limits a call has.

use std::time::Duration;

use http::request;
use tonic_call::{
    CallInfo, Deadline, Method, MethodKind, MethodTable, Methods, Rejection, Rpc, Side,
};

use crate::enforce::{Limit, SetBy};
use crate::refusal;

/// The settings of a layer.
#[derive(Clone, Debug)]
pub(super) struct Limits {
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

impl Default for Limits {
    fn default() -> Self {
        let (unary, stream) = (KindLimits::default(), KindLimits::default());
        Self { unary, stream, stall: None.into(), required: false.into(), methods: None }
    }
}

impl Limits {
    /// Whether a call can have a limit that its caller has not set, or be refused for not having one.
    pub(super) fn are_set(&self) -> bool {
        let is_set = |limits: &MethodTable<Option<Duration>>| {
            limits.iter().any(|(_, limit)| limit.is_some())
        };
        [&self.unary.default, &self.unary.cap, &self.stream.default, &self.stream.cap, &self.stall]
            .into_iter()
            .any(is_set)
            || self.required.iter().any(|(_, required)| *required)
    }

    /// The limits of a call that arrives now, or why it is refused.
    pub(super) fn of(
        &self,
        caller: Option<Duration>,
        head: &mut request::Parts,
    ) -> Result<CallLimits, Rejection> {
        let rpc = Rpc::from_head(head);
        if caller.is_none() && self.is_required(&rpc) {
            return Err(refusal::required());
        }
        let caller_limit = caller.and_then(|timeout| {
            let info = CallInfo::get_or_insert(Side::Server, &mut head.extensions);
            let deadline = info.caller_deadline(timeout)?;
            Some(Limit { deadline, set_by: SetBy::Caller })
        });
        if caller_limit.is_some_and(|limit| limit.deadline.has_passed()) {
            return Err(refusal::expired());
        }
        let kind = self.methods.as_ref().and_then(|methods| methods.find(&rpc)).map(Method::kind);
        let server_limit = self.server_limit(&rpc, kind, caller.is_some());
        let stall = *self.stall.get(&rpc);
        Ok(match kind {
            Some(_) => {
                CallLimits { call: Limit::earlier(caller_limit, server_limit), head: None, stall }
            }
            None => CallLimits { call: caller_limit, head: server_limit, stall },
        })
    }

    fn is_required(&self, rpc: &Rpc) -> bool {
        match self.required.rule(rpc) {
            Some(required) => *required,
            None => *self.required.get(rpc) && !rpc.is_infrastructure(),
        }
    }

    fn server_limit(
        &self,
        rpc: &Rpc,
        kind: Option<MethodKind>,
        caller_has_one: bool,
    ) -> Option<Limit> {
        let of_kind = match kind {
            None | Some(MethodKind::Unary) => &self.unary,
            Some(_) => &self.stream,
        };
        let default = of_kind.default.get(rpc).filter(|_| !caller_has_one);
        let limit = default.into_iter().chain(*of_kind.cap.get(rpc)).min()?;
        Some(Limit { deadline: Deadline::after(limit)?, set_by: SetBy::Server(limit) })
    }
}

impl CallLimits {
    /// Whether nothing has to be enforced.
    pub(super) fn is_unlimited(&self) -> bool {
        self.call.is_none() && self.head.is_none() && self.stall.is_none()
    }
}
