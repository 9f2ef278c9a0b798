//! One call, between whoever polls it and whoever may cut it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use tonic::Status;

use super::request_body::Gate;
use crate::answer::caught::drop_caught;
use crate::observe::{CallInfo, Protocol};

pub(super) trait Severable: Send + Sync {
    /// Ends the call, if it goes on; `tell` says to its slot what ended it.
    fn sever(&self, tell: &mut dyn FnMut(&CallInfo), status: Status) -> bool;
}

/// One call, shared by whoever polls it and whoever may cut it.
///
/// Nothing that is not ours runs under the lock: not a poll, and no destructor.
pub(super) struct CutState<B, E> {
    state: Mutex<State<B, E>>,
    /// Wakes whoever polls.
    waker: AtomicWaker,
    /// Where the requests come through.
    gate: Option<Arc<Gate>>,
    info: Option<CallInfo>,
    /// In which the caller is answered before there is a head.
    pub(super) protocol: Protocol,
}

struct State<B, E> {
    inner: Inner<B, E>,
    /// The call has ended by itself, or has panicked, although what is left of it is still here.
    over: bool,
    /// How the call was cut, until the caller was told.
    verdict: Option<Status>,
}

pub(super) enum Inner<B, E> {
    Future(BoxFuture<B, E>),
    Body(B),
    /// It is being polled, outside the lock.
    Polling,
    Gone,
}

pub(super) type BoxFuture<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<B, E> CutState<B, E> {
    pub(super) fn new(
        future: BoxFuture<B, E>,
        info: Option<CallInfo>,
        gate: Option<Arc<Gate>>,
        protocol: Protocol,
    ) -> Self {
        let state = State { inner: Inner::Future(future), over: false, verdict: None };
        Self { state: Mutex::new(state), waker: AtomicWaker::new(), gate, info, protocol }
    }

    fn state(&self) -> MutexGuard<'_, State<B, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be polled, unless the call was cut.
    pub(super) fn take(&self, cx: &Context<'_>) -> Result<Polled<'_, B, E>, Status> {
        // Before the look at the verdict: whoever cuts after it wakes this one.
        self.waker.register(cx.waker());
        let mut state = self.state();
        if let Some(status) = state.verdict.take() {
            state.over = true;
            return Err(status);
        }
        let inner = match state.inner {
            Inner::Gone => Inner::Gone,
            _ => std::mem::replace(&mut state.inner, Inner::Polling),
        };
        Ok(Polled { shared: self, inner })
    }

    /// Whether the caller is still to be told that the call was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.state().verdict.is_some()
    }

    /// Drops what is inside: nobody polls it any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.over = true;
        let left = (std::mem::replace(&mut state.inner, Inner::Gone), state.verdict.take());
        drop(state);
        drop(left);
    }
}

/// What a poll of a body gave, and whether nothing comes after it.
pub(super) type Polling<B> = (Poll<Option<Result<Frame<Bytes>, <B as Body>::Error>>>, bool);

impl<B, E> CutState<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Polls the body; the error is what the caller is told, now that the call was cut.
    pub(super) fn poll_body(&self, cx: &mut Context<'_>) -> Result<Polling<B>, Status> {
        let mut polled = self.take(cx)?;
        let Inner::Body(body) = &mut polled.inner else { return Ok((Poll::Ready(None), true)) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let data = matches!(&frame, Poll::Ready(Some(Ok(frame))) if frame.is_data());
        let over = if data { body.is_end_stream() } else { frame.is_ready() };
        // A message that came through before the cut still goes out; the trailers follow.
        match polled.give_back(over, data) {
            Some(status) => Err(status),
            None => Ok((frame, over)),
        }
    }
}

impl<B: Send, E> Severable for CutState<B, E> {
    fn sever(&self, tell: &mut dyn FnMut(&CallInfo), status: Status) -> bool {
        let mut state = self.state();
        if state.over || state.verdict.is_some() {
            return false;
        }
        let inner = match &state.inner {
            // The poll that is under way will find the verdict.
            Inner::Polling => Inner::Gone,
            _ => std::mem::replace(&mut state.inner, Inner::Gone),
        };
        let told = self.gate.as_ref().map(|_| status.clone());
        state.verdict = Some(status);
        // Before anything inside is dropped: what observes there asks what ended the call.
        if let Some(info) = &self.info {
            tell(info);
        }
        drop(state);
        // Timers that cut stand outside any recovery layer.
        drop_caught(inner);
        if let (Some(gate), Some(status)) = (&self.gate, told) {
            gate.close(status);
        }
        self.waker.wake();
        true
    }
}

/// What is inside, out of the lock for one poll.
pub(super) struct Polled<'a, B, E> {
    shared: &'a CutState<B, E>,
    pub(super) inner: Inner<B, E>,
}

impl<B, E> Polled<'_, B, E> {
    /// Gives it back, with whether the call is now over. If it was cut meanwhile, it is dropped
    /// instead, and the caller is told: now, or with `later` at the next poll.
    pub(super) fn give_back(mut self, over: bool, later: bool) -> Option<Status> {
        let inner = std::mem::replace(&mut self.inner, Inner::Gone);
        let mut state = self.shared.state();
        if state.verdict.is_none() {
            state.inner = inner;
            state.over = over;
            return None;
        }
        state.over = true;
        state.inner = Inner::Gone;
        let verdict = if later { None } else { state.verdict.take() };
        drop(state);
        drop(inner);
        verdict
    }
}

/// A poll that unwinds leaves here what it polled: never polled again, and dropped not now, while a
/// panic unwinds, but by whoever catches it and drops the call.
impl<B, E> Drop for Polled<'_, B, E> {
    fn drop(&mut self) {
        if !matches!(self.inner, Inner::Gone) {
            let mut state = self.shared.state();
            state.over = true;
            state.inner = std::mem::replace(&mut self.inner, Inner::Gone);
        }
    }
}
