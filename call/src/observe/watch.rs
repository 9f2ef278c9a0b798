//! Reports the end of a call exactly once.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, request};
use tonic::Code;

use super::call_state::{CallState, LateCall};
use super::late::{Late, asks_as_grpc};
use super::{Call, Observer, Side};
use crate::answer::timeout_of;
use crate::method::KnownMethods;
use crate::observe::body_reader::BodyReader;
use crate::observe::{CallInfo, Cause, End, EndedBy, Flow, Protocol, headers};

/// Owned first by the response future, then by the response body. Reports the end of the call once: the call
/// counts as dropped if this is dropped before any other end.
pub(super) struct Watch<C: Call> {
    state: Arc<CallState<C>>,
    side: Side,
    asked_as_grpc: bool,
    /// A call of plain gRPC, whose response has nothing to show: neither its protocol, nor that the method exists.
    is_certain: bool,
    /// Set until the response shows whether this request is a call.
    late: Option<Box<Late<C>>>,
    responded: bool,
    /// The head already contains `OK`, but the body goes on. This is the status if no trailers follow.
    ok_in_head: bool,
}

impl<C: Call> Watch<C> {
    /// Starts to watch a request, whose body is read with the reader. `None` if the observer skips it.
    ///
    /// On a client every request is a call. On a server a request is a call from the beginning if it has gRPC's
    /// verb and content type, or if its method is known, since tonic runs a method for any verb and content
    /// type. For other requests the response decides.
    pub(super) fn begin<O: Observer<Call = C>>(
        observer: &O,
        side: Side,
        known: &Arc<KnownMethods>,
        server_timeout: Option<Duration>,
        head: &mut request::Parts,
    ) -> Option<(Self, BodyReader)> {
        let rpc = known.resolve(side, head);
        let named = Protocol::of(&head.headers);
        if side == Side::Server {
            Protocol::mark(named, head);
        }
        let asked_as_grpc = side == Side::Client || asks_as_grpc(head, named);
        let (mut late, mut begins_late) = (None, None);
        let is_call = asked_as_grpc || rpc.known().is_some();
        // The call is built here, and moved once: it can have many hundred bytes.
        let mut early = match is_call && !O::BEGINS_IN_PLACE {
            true => observer.begin(side, &rpc, head),
            false => None,
        };
        if is_call {
            if O::BEGINS_IN_PLACE {
                observer.begin_in(side, &rpc, head, &mut early);
            }
            early.as_ref()?;
        } else {
            // Facts from inner layers can show that this is a call.
            CallInfo::get_or_insert(side, &mut head.extensions);
            late = Some(Box::new(Late::new(observer, head, known)));
            begins_late = Some(Box::new(LateCall::new()));
        }
        let info = match early.as_ref().and_then(Call::info) {
            Some(info) => {
                note_timeouts(info, server_timeout, head);
                None
            }
            None => info(side, server_timeout, head),
        };
        let learns = rpc.known().is_none() && known.may_learn(&rpc);
        let is_certain = named == Some(Protocol::Grpc) && late.is_none() && !learns;
        let unknown = learns.then(|| (Arc::clone(known), rpc));
        let state = Arc::new(CallState::new(early, begins_late, info, unknown));
        let (responded, ok_in_head) = (false, false);
        let watch = Self { state, side, asked_as_grpc, is_certain, late, responded, ok_in_head };
        Some((watch, BodyReader::of(named)))
    }

    pub(super) fn state(&self) -> Arc<CallState<C>> {
        Arc::clone(&self.state)
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.state.scope(poll)
    }

    /// Handles a data frame of the response. In gRPC-Web, the trailers can be inside it.
    pub(super) fn data(&mut self, reader: &mut BodyReader, data: &[u8]) {
        if let Some(trailers) = self.state.data(Flow::Response, reader, data) {
            self.trailers(&trailers);
        }
    }

    /// Handles the response head, and returns the reader for the body. If the call ends with the head, this is
    /// reported now: a body that is already at its end may never be polled.
    pub(super) fn responded(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
        body_at_end: bool,
    ) -> BodyReader {
        self.responded = true;
        let protocol = match self.is_certain {
            true => Some(Protocol::Grpc),
            false => Protocol::of(headers),
        };
        self.read_head(status, headers, protocol.is_some(), body_at_end);
        BodyReader::of(protocol)
    }

    fn read_head(
        &mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
        is_grpc: bool,
        body_at_end: bool,
    ) {
        let code = headers::code(headers);
        let is_whole = body_at_end || status != StatusCode::OK;
        match code {
            Some(Code::Ok) => self.state.learn(),
            // A response that is not gRPC does not show that the method exists.
            None if is_grpc && !is_whole => self.state.learn(),
            _ => {}
        }
        let answers_as_grpc = match code {
            // tonic's router answers any unknown path like this, so it is no proof of a call.
            Some(Code::Unimplemented) => false,
            Some(_) => true,
            None => is_grpc,
        };
        if !self.begins(answers_as_grpc) {
            return;
        }
        if let Some(call) = self.state.call() {
            call.responded(status, headers);
        }
        match code {
            Some(code) if body_at_end || code != Code::Ok => {
                self.end(End::Status { code, headers });
            }
            Some(_) => self.ok_in_head = true,
            None if is_whole => self.end(End::missing(status, self.side, self.asked_as_grpc)),
            None => {}
        }
    }

    /// Handles the trailers, the last frame of the response.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        match headers::code(trailers) {
            Some(code) => self.end(End::Status { code, headers: trailers }),
            None => self.over(),
        }
    }

    /// Handles the end of a body without a status in trailers.
    pub(super) fn over(&mut self) {
        if self.ok_in_head {
            self.end(End::Status { code: Code::Ok, headers: &HeaderMap::new() });
        } else {
            self.end(End::missing(StatusCode::OK, self.side, self.asked_as_grpc));
        }
    }

    pub(super) fn end(&mut self, end: End<'_>) {
        if !self.begins(false) || !self.state.ends_now() {
            return;
        }
        let state = &*self.state;
        let end = match (state.has_request_failed(), state.request_error()) {
            (false, _) => end,
            (true, Some(error)) => {
                End::Error { code: error.code, by: EndedBy::Caller, error: &error.text }
            }
            // The caller is gone: it does not receive the service's answer to a request that broke off.
            (true, None) => self.dropped(),
        };
        if end.code() == Code::Ok {
            state.learn();
        }
        if let Some(call) = state.call() {
            call.end(end);
        }
    }

    /// Whether the call has begun or begins now. A request begins late if the response is gRPC, if an inner
    /// layer refused it or recovered a panic, or if a panic unwound through it.
    fn begins(&mut self, answers_as_grpc: bool) -> bool {
        let Some(late) = self.late.take() else { return self.state.call().is_some() };
        let from_inside = self.state.info().is_some_and(CallInfo::proves_call);
        let is_call = answers_as_grpc || from_inside || self.state.has_unwound();
        match is_call.then(|| late.begin()).flatten() {
            Some(call) => {
                self.state.begin(call);
                true
            }
            None => {
                self.state.never_begins();
                false
            }
        }
    }

    fn dropped(&self) -> End<'static> {
        let cause = if self.state.has_unwound() {
            Cause::Panicked
        } else {
            let info = self.state.info();
            info.map_or(Cause::CallerLeft, |info| info.drop_cause(self.responded))
        };
        End::Dropped { responded: self.responded, cause }
    }
}

/// The call's [`CallInfo`]: inserted if the call has a time limit, otherwise only if another layer has inserted
/// it.
fn info(
    side: Side,
    server_timeout: Option<Duration>,
    head: &mut request::Parts,
) -> Option<CallInfo> {
    if server_timeout.is_none() && caller_timeout(head).is_none() {
        return CallInfo::of_side(side, &head.extensions).cloned();
    }
    let info = CallInfo::get_or_insert(side, &mut head.extensions);
    note_timeouts(&info, server_timeout, head);
    Some(info)
}

fn note_timeouts(info: &CallInfo, server_timeout: Option<Duration>, head: &request::Parts) {
    if let Some(timeout) = caller_timeout(head) {
        info.caller_deadline(timeout);
    }
    if let Some(timeout) = server_timeout {
        info.server_times_out_after(timeout);
    }
}

/// A malformed timeout sets no deadline, as in tonic.
fn caller_timeout(head: &request::Parts) -> Option<Duration> {
    timeout_of(&head.headers).ok().flatten()
}

impl<C: Call> Drop for Watch<C> {
    fn drop(&mut self) {
        if !self.state.has_ended() {
            self.end(self.dropped());
        }
    }
}
