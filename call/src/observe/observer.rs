use http::{HeaderMap, StatusCode, request};

use crate::method::Rpc;
use crate::observe::{Batch, CallInfo, End, Flow, Message, Side};

/// Watches gRPC calls. Metrics, logging and tracing are each an observer.
///
/// [`ObserveLayer`](crate::ObserveLayer) turns an observer into a tower layer. A pair `(A, B)` is an observer too:
/// both watch the same calls, with `A` outside `B`. An observer must not panic: its hooks also run while a panic
/// unwinds.
#[doc = ""]
#[doc = include_str!("../../docs/which-requests.md")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not watch gRPC calls",
    label = "not an `Observer`",
    note = "implement `tonic_call::Observer`: its `begin` makes one `tonic_call::Call` for each call",
    note = "an observer is `Clone + Send + Sync + 'static`, since every connection has its own"
)]
pub trait Observer: Clone + Send + Sync + 'static {
    /// The state that the observer keeps for one call.
    type Call: Call;

    /// Called when a call begins. May change the request head. Returns `None` to skip this call; a skipped call
    /// has no further cost.
    ///
    /// On a server, a request for an unknown method whose verb is not `POST`, or whose content type is not
    /// gRPC's, may still be a call: tonic runs methods for such requests too. For these requests `begin` is
    /// called late, when the response shows that the request is a call. It then gets the original head, and
    /// changes to the head have no effect. [`Stopwatch::since_arrival`](crate::Stopwatch::since_arrival) starts
    /// when the request arrived.
    fn begin(&self, side: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<Self::Call>;

    /// Whether [`begin_in`](Self::begin_in) copies less than [`begin`](Self::begin).
    #[doc(hidden)]
    const BEGINS_IN_PLACE: bool = false;

    /// Like [`begin`](Self::begin), into a place that is empty. Observers of one pass build their calls where they stay:
    /// a call can have several hundred bytes, and copying what was just written is slow.
    #[doc(hidden)]
    fn begin_in(
        &self,
        side: Side,
        rpc: &Rpc,
        head: &mut request::Parts,
        place: &mut Option<Self::Call>,
    ) {
        *place = self.begin(side, rpc, head);
    }

    /// Whether [`begin`](Self::begin) must run in the scope of the observers outside this one, if several share one pass.
    /// Like [`Call::reports_in_scope`]. The default is `true`.
    fn begins_in_scope(&self) -> bool {
        true
    }
}

/// The hooks that an [`Observer`] gets for one call.
///
/// The order of the hooks is: [`responded`](Self::responded) at most once; [`message`](Self::message) once per
/// message, and [`batch`](Self::batch) once per frame, after the frame's messages; [`end`](Self::end) exactly
/// once, last. [`unwound`](Self::unwound) can come at any time, even after `end`. Polls and drops run inside
/// [`scope`](Self::scope); the other hooks run outside it. Of a pair, the hooks of the inner call run inside the scope
/// of the outer one, except those that [`reports_in_scope`](Self::reports_in_scope) exempts.
///
/// Hooks can run concurrently, because different tasks may poll request and response. A request message that
/// arrives at the same moment as the end may be reported while `end` runs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not watch one gRPC call",
    label = "not a `Call`",
    note = "implement `tonic_call::Call`: `end` is its only required method"
)]
pub trait Call: Send + Sync + 'static {
    /// Runs one step of the call: creating the response future, polling it or a body, or dropping one of them.
    /// What completes in a poll is dropped in the same step. On a client, other tasks poll the request body.
    ///
    /// Must run `poll` and return its result. Anything set up around it, such as a current span, must be undone
    /// before this returns, so that it is never held across a yield.
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        poll()
    }

    /// Called with the HTTP status and the headers of the response. The headers may already contain the status of the
    /// call. May add metadata.
    fn responded(&self, status: StatusCode, headers: &mut HeaderMap) {
        let _ = (status, headers);
    }

    /// Called when a message has passed completely.
    fn message(&self, flow: Flow, message: Message) {
        let _ = (flow, message);
    }

    /// Called after [`message`](Self::message) was called for each message of one frame. Use it for sums that
    /// are expensive to update: it is called once per frame, and a busy stream has many messages per frame.
    ///
    /// For a call that [begins late](Observer::begin), all messages before the beginning form one batch, and
    /// `message` is called only for the first [1,024](crate::EarlyMessages::MAX_KEPT) of them.
    fn batch(&self, flow: Flow, batch: Batch) {
        let _ = (flow, batch);
    }

    /// Whether [`responded`](Self::responded), [`message`](Self::message) and [`batch`](Self::batch) must run in the
    /// scope of the observers outside this one, if several share one pass. With `false` they run outside it: a scope can
    /// cost more than counting a message does. Asked each time. The default is `true`.
    fn reports_in_scope(&self) -> bool {
        true
    }

    /// The call's [`CallInfo`](crate::CallInfo), if this has it, so that nothing else has to keep it.
    #[doc(hidden)]
    fn info(&self) -> Option<&CallInfo> {
        None
    }

    /// Called while a panic that no inner layer has recovered unwinds through a step of the call. The step can
    /// be a destructor that runs after the end. Must not panic: the unwinding is still in progress.
    fn unwound(&self) {}

    /// Called once when the call is over. Runs outside [`scope`](Self::scope).
    fn end(&self, end: End<'_>);
}
