//! The state of one call, shared by the task that polls it and the code that cuts it.

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

/// A call that can be ended, without its body and error types.
pub(super) trait Severable: Send + Sync {
    /// Ends the call, if it has not ended yet; `record` records the cause in its [`CallInfo`].
    fn sever(&self, record: &mut dyn FnMut(&CallInfo), status: Status) -> bool;
}

/// One call, shared by the task that polls it and the code that cuts it.
///
/// No foreign code runs under the lock: neither polls nor destructors.
pub(super) struct CutState<B, E> {
    state: Mutex<State<B, E>>,
    /// Wakes the task that polls the call.
    waker: AtomicWaker,
    /// Ends the request body.
    gate: Option<Arc<Gate>>,
    info: Option<CallInfo>,
    /// The protocol of the response, if the call is cut before its head.
    pub(super) protocol: Protocol,
}

struct State<B, E> {
    inner: Inner<B, E>,
    /// The call has ended by itself or has panicked, although `inner` may not be dropped yet.
    over: bool,
    /// The status of a cut, until it is sent to the caller.
    verdict: Option<Status>,
}

pub(super) enum Inner<B, E> {
    Future(BoxFuture<B, E>),
    Body(B),
    /// Taken out for a poll, which runs without the lock.
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

    /// Takes out what is to be polled, unless the call was cut.
    pub(super) fn take(&self, cx: &Context<'_>) -> Result<Polled<'_, B, E>, Status> {
        // Before the check of the verdict, so that a later cut wakes this task.
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

    /// Whether the call was cut and the status has not been sent yet.
    pub(super) fn is_cut(&self) -> bool {
        self.state().verdict.is_some()
    }

    /// Drops the inner future or body: it will not be polled again.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.over = true;
        let left = (std::mem::replace(&mut state.inner, Inner::Gone), state.verdict.take());
        drop(state);
        drop(left);
    }
}

/// The result of a body poll, and whether it was the last frame.
pub(super) type BodyPoll<B> = (Poll<Option<Result<Frame<Bytes>, <B as Body>::Error>>>, bool);

impl<B, E> CutState<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Polls the body; the error is the status to send if the call was cut.
    pub(super) fn poll_body(&self, cx: &mut Context<'_>) -> Result<BodyPoll<B>, Status> {
        let mut polled = self.take(cx)?;
        let Inner::Body(body) = &mut polled.inner else { return Ok((Poll::Ready(None), true)) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let data = matches!(&frame, Poll::Ready(Some(Ok(frame))) if frame.is_data());
        let over = if data { body.is_end_stream() } else { frame.is_ready() };
        // A message received before the cut is still sent; the trailers follow.
        match polled.put_back(over, data) {
            Some(status) => Err(status),
            None => Ok((frame, over)),
        }
    }
}

impl<B: Send, E> Severable for CutState<B, E> {
    fn sever(&self, record: &mut dyn FnMut(&CallInfo), status: Status) -> bool {
        let mut state = self.state();
        if state.over || state.verdict.is_some() {
            return false;
        }
        let inner = match &state.inner {
            // The running poll will find the verdict.
            Inner::Polling => Inner::Gone,
            _ => std::mem::replace(&mut state.inner, Inner::Gone),
        };
        let gate_status = self.gate.as_ref().map(|_| status.clone());
        state.verdict = Some(status);
        // Before the inner call is dropped: observers inside read what ended the call.
        if let Some(info) = &self.info {
            record(info);
        }
        drop(state);
        // Timers that cut calls run outside any recovery layer.
        drop_caught(inner);
        if let (Some(gate), Some(status)) = (&self.gate, gate_status) {
            gate.close(status);
        }
        self.waker.wake();
        true
    }
}

/// The inner future or body, taken out of the lock for one poll.
pub(super) struct Polled<'a, B, E> {
    shared: &'a CutState<B, E>,
    pub(super) inner: Inner<B, E>,
}

impl<B, E> Polled<'_, B, E> {
    /// Puts it back, with whether the call is now over. If the call was cut during the poll, drops it instead
    /// and returns the status to send; with `later` the next poll returns it.
    pub(super) fn put_back(mut self, over: bool, later: bool) -> Option<Status> {
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

/// After a poll that unwinds, puts back what was polled without dropping it: dropping it during the unwinding
/// could panic again. It is never polled again, and is dropped with the call.
impl<B, E> Drop for Polled<'_, B, E> {
    fn drop(&mut self) {
        if !matches!(self.inner, Inner::Gone) {
            let mut state = self.shared.state();
            state.over = true;
            state.inner = std::mem::replace(&mut self.inner, Inner::Gone);
        }
    }
}
