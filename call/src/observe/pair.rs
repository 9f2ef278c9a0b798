use http::{HeaderMap, StatusCode, request};

use super::{Call, Observer, Side};
use crate::method::Rpc;
use crate::observe::stopwatch::OneMoment;
use crate::observe::{Batch, CallInfo, End, Flow, Message};

/// One call, watched by up to two observers: the first is outside the second.
#[derive(Debug)]
pub struct Pair<A, B> {
    outer: Option<A>,
    inner: Option<B>,
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    type Call = Pair<A::Call, B::Call>;

    const BEGINS_IN_PLACE: bool = true;

    fn begin(&self, side: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<Self::Call> {
        let mut place = None;
        self.begin_in(side, rpc, head, &mut place);
        place
    }

    fn begin_in(
        &self,
        side: Side,
        rpc: &Rpc,
        head: &mut request::Parts,
        place: &mut Option<Self::Call>,
    ) {
        let _moment = OneMoment::begin();
        let Pair { outer, inner } = place.insert(Pair { outer: None, inner: None });
        self.0.begin_in(side, rpc, head, outer);
        let around = outer.as_ref().filter(|_| self.1.begins_in_scope());
        scope(around, || self.1.begin_in(side, rpc, head, inner));
        if outer.is_none() && inner.is_none() {
            *place = None;
        }
    }

    fn begins_in_scope(&self) -> bool {
        self.0.begins_in_scope() || self.1.begins_in_scope()
    }
}

/// An optional observer: with `None` it skips every call.
impl<O: Observer> Observer for Option<O> {
    type Call = O::Call;

    const BEGINS_IN_PLACE: bool = O::BEGINS_IN_PLACE;

    fn begin(&self, side: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<Self::Call> {
        self.as_ref()?.begin(side, rpc, head)
    }

    fn begin_in(
        &self,
        side: Side,
        rpc: &Rpc,
        head: &mut request::Parts,
        place: &mut Option<Self::Call>,
    ) {
        if let Some(observer) = self {
            observer.begin_in(side, rpc, head, place);
        }
    }

    fn begins_in_scope(&self) -> bool {
        self.as_ref().is_some_and(O::begins_in_scope)
    }
}

impl<A: Call, B: Call> Call for Pair<A, B> {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        scope(self.outer.as_ref(), || scope(self.inner.as_ref(), poll))
    }

    fn responded(&self, status: StatusCode, headers: &mut HeaderMap) {
        self.report_to_inner(|inner| inner.responded(status, headers));
        if let Some(outer) = &self.outer {
            outer.responded(status, headers);
        }
    }

    fn message(&self, flow: Flow, message: Message) {
        self.by_flow(
            flow,
            |outer| outer.message(flow, message),
            |inner| inner.message(flow, message),
        );
    }

    fn batch(&self, flow: Flow, batch: Batch) {
        self.by_flow(flow, |outer| outer.batch(flow, batch), |inner| inner.batch(flow, batch));
    }

    fn reports_in_scope(&self) -> bool {
        self.outer.as_ref().is_some_and(Call::reports_in_scope)
            || self.inner.as_ref().is_some_and(Call::reports_in_scope)
    }

    fn info(&self) -> Option<&CallInfo> {
        let of_inner = || self.inner.as_ref().and_then(Call::info);
        self.outer.as_ref().and_then(Call::info).or_else(of_inner)
    }

    fn unwound(&self) {
        self.inner_first(Call::unwound, Call::unwound);
    }

    fn end(&self, end: End<'_>) {
        let _moment = OneMoment::begin();
        self.inner_first(|inner| inner.end(end), |outer| outer.end(end));
    }
}

impl<A: Call, B: Call> Pair<A, B> {
    /// For messages: a request passes the outer observer first, a response the inner one.
    fn by_flow(&self, flow: Flow, outer_does: impl FnOnce(&A), inner_does: impl FnOnce(&B)) {
        match flow {
            Flow::Request => {
                if let Some(outer) = &self.outer {
                    outer_does(outer);
                }
                self.report_to_inner(inner_does);
            }
            Flow::Response => {
                self.report_to_inner(inner_does);
                if let Some(outer) = &self.outer {
                    outer_does(outer);
                }
            }
        }
    }

    /// The inner observer, in the scope of the outer one only if it asks for that: many messages pass.
    fn report_to_inner(&self, does: impl FnOnce(&B)) {
        if let Some(inner) = &self.inner {
            let outer = self.outer.as_ref().filter(|_| inner.reports_in_scope());
            scope(outer, || does(inner));
        }
    }

    /// The inner observer first, in the scope of the outer one.
    fn inner_first(&self, inner_does: impl FnOnce(&B), outer_does: impl FnOnce(&A)) {
        if let Some(inner) = &self.inner {
            scope(self.outer.as_ref(), || inner_does(inner));
        }
        if let Some(outer) = &self.outer {
            outer_does(outer);
        }
    }
}

fn scope<C: Call, T>(call: Option<&C>, poll: impl FnOnce() -> T) -> T {
    match call {
        Some(call) => call.scope(poll),
        None => poll(),
    }
}
