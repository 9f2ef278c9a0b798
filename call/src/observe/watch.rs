//! The one place where a call's ending is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, StatusCode, request, response};
use tonic::Code;

use super::{Call, Side};
use crate::deadline::timeout_of;
use crate::end::{Cause, End};
use crate::headers;
use crate::info::CallInfo;
use crate::known::KnownMethods;
use crate::message::{Batch, Flow, MessageReader};
use crate::rpc::Rpc;

/// Held by whatever stands for the call: the response future, then the response body. Tells the
/// ending once; when it is dropped before it could, the call was dropped.
pub(super) struct Watch<C: Call> {
    shared: Arc<Shared<C>>,
    responded: bool,
    /// The head said `OK` although the body goes on: how the call ends if no trailers come.
    ok_in_head: bool,
}

/// What the response shares with the request body, which another task may poll.
pub(super) struct Shared<C> {
    call: C,
    /// What all layers of a call that has a timeout share.
    info: Option<CallInfo>,
    /// The method, while an answer can still make it known.
    unknown: Option<(Arc<KnownMethods>, Rpc)>,
    ended: AtomicBool,
    request_failed: AtomicBool,
    unwound: AtomicBool,
}

impl<C: Call> Watch<C> {
    pub(super) fn new(
        call: C,
        side: Side,
        head: &mut request::Parts,
        known: &Arc<KnownMethods>,
        rpc: Rpc,
    ) -> Self {
        // A malformed timeout sets no deadline: tonic ignores it too.
        let info = timeout_of(&head.headers).ok().flatten().map(|timeout| {
            let info = CallInfo::get_or_insert(side, &mut head.extensions);
            info.expires_after(timeout);
            info
        });
        let learns = rpc.known().is_none() && rpc.is_well_formed() && known.learns();
        let shared = Shared {
            call,
            info,
            unknown: learns.then(|| (Arc::clone(known), rpc)),
            ended: AtomicBool::new(false),
            request_failed: AtomicBool::new(false),
            unwound: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), responded: false, ok_in_head: false }
    }

    pub(super) fn shared(&self) -> Arc<Shared<C>> {
        Arc::clone(&self.shared)
    }

    pub(super) fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.shared.scope(poll)
    }

    pub(super) fn data(&self, messages: &mut MessageReader, data: &[u8]) {
        self.shared.data(Flow::Response, messages, data);
    }

    /// The head is here. If it holds the ending, that is told now: a body that is at its end may
    /// never be polled.
    pub(super) fn responded(&mut self, head: &mut response::Parts, body_at_end: bool) {
        self.responded = true;
        self.shared.call.responded(head);
        match headers::code(&head.headers) {
            Some(code) if body_at_end || code != Code::Ok => {
                self.end(End::Status { code, headers: &head.headers });
            }
            Some(_) => self.ok_in_head = true,
            None if body_at_end || head.status != StatusCode::OK => {
                self.end(End::Missing { http: head.status });
            }
            // An answer that is not gRPC says nothing of the method.
            None if headers::is_grpc(&head.headers) == Some(true) => self.shared.learn(),
            None => {}
        }
    }

    /// Trailers are here; after them nothing comes.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        match headers::code(trailers) {
            Some(code) => self.end(End::Status { code, headers: trailers }),
            None => self.over(),
        }
    }

    /// The body is over, and there was no status in trailers.
    pub(super) fn over(&mut self) {
        if self.ok_in_head {
            self.end(End::Status { code: Code::Ok, headers: &HeaderMap::new() });
        } else {
            self.end(End::Missing { http: StatusCode::OK });
        }
    }

    pub(super) fn end(&mut self, end: End<'_>) {
        let shared = &*self.shared;
        // Nobody else writes it: who has the one watch of a call has its ending.
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        shared.ended.store(true, Ordering::Relaxed);
        // Whatever a service answers to a request that broke off, nobody receives it.
        let end = if shared.request_failed.load(Ordering::Relaxed) { self.dropped() } else { end };
        if end.code() == Code::Ok {
            shared.learn();
        }
        shared.call.end(end);
    }

    fn dropped(&self) -> End<'static> {
        let cause = if self.shared.unwound.load(Ordering::Relaxed) {
            Cause::Panicked
        } else {
            self.shared.info.as_ref().map_or(Cause::CallerLeft, CallInfo::given_up)
        };
        End::Dropped { responded: self.responded, cause }
    }
}

impl<C: Call> Drop for Watch<C> {
    fn drop(&mut self) {
        if !self.shared.ended.load(Ordering::Relaxed) {
            self.end(self.dropped());
        }
    }
}

impl<C: Call> Shared<C> {
    /// Runs a piece of the call in the observer's scope, and notices if it unwinds: later, when the
    /// call is dropped by whoever caught the panic, `thread::panicking()` is false.
    pub(super) fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(self);
        let output = self.call.scope(poll);
        std::mem::forget(unwinding);
        output
    }

    /// Tells the messages that a frame completes.
    pub(super) fn data(&self, flow: Flow, messages: &mut MessageReader, data: &[u8]) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let mut batch = Batch { messages: 0, bytes: 0 };
        messages.read(data, |message| {
            batch.messages += 1;
            batch.bytes += u64::from(message.len);
            self.call.message(flow, message);
        });
        if batch.messages > 0 {
            self.call.batch(flow, batch);
        }
    }

    pub(super) fn request_failed(&self) {
        self.request_failed.store(true, Ordering::Relaxed);
    }

    fn learn(&self) {
        if let Some((known, rpc)) = &self.unknown {
            known.learn(rpc);
        }
    }
}

struct Unwinding<'a, C: Call>(&'a Shared<C>);

impl<C: Call> Drop for Unwinding<'_, C> {
    fn drop(&mut self) {
        self.0.unwound.store(true, Ordering::Relaxed);
        self.0.call.unwound();
    }
}
