use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;

use super::state::{Next, Phase, State};

/// What the attempts of a call share. No foreign code runs under the lock.
pub(super) struct Buffer {
    state: Mutex<State>,
    /// Wakes the task of the call, which answers when a message is too long.
    caller: AtomicWaker,
    has_limit: bool,
}

impl Buffer {
    pub(super) fn new(state: State, has_limit: bool) -> Self {
        Self { state: Mutex::new(state), caller: AtomicWaker::new(), has_limit }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message can be too long.
    pub(super) fn has_limit(&self) -> bool {
        self.has_limit
    }

    /// The answer to a call with a message that is too long, once there is one.
    pub(super) fn poll_too_long(&self, cx: &Context<'_>) -> Poll<Status> {
        if !self.has_limit {
            return Poll::Pending;
        }
        // Before the look, so that a message that comes later wakes this task.
        self.caller.register(cx.waker());
        self.state().too_long().map_or(Poll::Pending, Poll::Ready)
    }

    /// Reads for the attempt with this number.
    pub(super) fn poll(
        &self,
        attempt: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            let mut state = self.state();
            if let Some(status) = ended(&state, attempt) {
                return Poll::Ready(Some(Err(status)));
            }
            state.is_read = true;
            let source = match state.next() {
                Next::Return(data) => return Poll::Ready(data),
                Next::Wait => {
                    state.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Next::Poll(source) => source,
            };
            drop(state);
            if self.poll_source(source, attempt, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Polls the source once, and gives it back.
    fn poll_source(&self, mut source: Body, attempt: u32, cx: &mut Context<'_>) -> Poll<()> {
        let unwinding = Unwinding(self);
        let frame = Pin::new(&mut source).poll_frame(cx);
        let is_at_end = source.is_end_stream();
        std::mem::forget(unwinding);
        let mut state = self.state();
        let poll = frame.map(|frame| state.receive(frame));
        let unneeded = state.give_back(source, is_at_end);
        let is_too_long = state.too_long().is_some();
        let superseded = ended(&state, attempt).is_some();
        let mut next_reader = None;
        if superseded {
            // The next attempt may wait for this poll.
            next_reader = state.reader.take();
        } else if poll.is_pending() {
            state.reader = Some(cx.waker().clone());
        }
        drop(state);
        drop(unneeded);
        if let Some(waker) = next_reader {
            waker.wake();
        }
        if is_too_long {
            self.caller.wake();
        }
        // The next look tells a superseded attempt that it is over.
        if superseded { Poll::Ready(()) } else { poll }
    }

    /// Whether the attempt with this number has read everything, and nothing follows.
    pub(super) fn is_at_end(&self, attempt: u32) -> bool {
        let mut state = self.state();
        let is_at_end = ended(&state, attempt).is_none() && state.is_at_end();
        // Then nobody polls the body: the head is all of the request.
        state.is_read |= is_at_end;
        is_at_end
    }
}

/// Ends a request whose body panics: otherwise the next attempt would wait for it.
struct Unwinding<'a>(&'a Buffer);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.receive(Some(Err(Status::internal("the request body panicked"))));
        let reader = state.reader.take();
        drop(state);
        if let Some(waker) = reader {
            waker.wake();
        }
    }
}

/// Why an attempt may not read any more.
fn ended(state: &State, attempt: u32) -> Option<Status> {
    if state.phase == Phase::Closed {
        return Some(Status::cancelled("the call is over"));
    }
    (state.attempt != attempt).then(|| Status::cancelled("the attempt is over"))
}
