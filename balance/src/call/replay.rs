//! Request bodies that can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// A request body that gives one attempt after the other all of its data, until one of them is answered.
#[derive(Debug)]
pub(super) struct Replay(Arc<Mutex<State>>);

/// The body of one attempt. It fails once there is a later one.
#[derive(Debug)]
pub(super) struct Attempt {
    state: Arc<Mutex<State>>,
    number: u32,
    /// The next of the kept frames.
    next: usize,
}

#[derive(Debug)]
struct State {
    body: Body,
    attempts: u32,
    /// Whether the latest attempt may have been sent: its body was polled, or its end was seen.
    started: bool,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    keeping: Keeping,
    /// The task that polls the latest attempt's body.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// All that was read is kept.
    All,
    /// Something that was read is not kept.
    Lost,
}

/// More than this is not kept: such a call is sent again only if nothing of it was read.
const MAX_KEPT_BYTES: usize = 256 << 10;

impl Replay {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State {
            body,
            attempts: 0,
            started: false,
            kept: Vec::new(),
            kept_bytes: 0,
            keeping: Keeping::All,
            waker: None,
        })))
    }

    /// Whether another attempt can have all of the data.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.0).keeping == Keeping::All
    }

    /// The body for the next attempt. That of the attempt before fails from now on.
    pub(super) fn attempt(&self) -> Attempt {
        let mut state = lock(&self.0);
        state.attempts += 1;
        state.started = false;
        // The task that polls the attempt before must notice that it is over.
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        Attempt { state: Arc::clone(&self.0), number: state.attempts, next: 0 }
    }

    /// Whether the latest attempt may have been sent: hyper polls a body as soon as its stream is open, and not before.
    pub(super) fn was_started(&self) -> bool {
        lock(&self.0).started
    }

    /// There is an answer: nothing is kept any more.
    pub(super) fn commit(&self) {
        lock(&self.0).keeping = Keeping::Lost;
    }
}

impl State {
    fn keep(&mut self, data: &Bytes) -> bool {
        if self.keeping == Keeping::All && self.kept_bytes + data.len() <= MAX_KEPT_BYTES {
            self.kept_bytes += data.len();
            self.kept.push(data.clone());
            return true;
        }
        self.keeping = Keeping::Lost;
        self.kept = Vec::new();
        false
    }
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let mut state = lock(&this.state);
        if state.attempts != this.number {
            return Poll::Ready(Some(Err(Status::cancelled("the call is sent again elsewhere"))));
        }
        state.started = true;
        if let Some(data) = state.kept.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let Poll::Ready(frame) = http_body::Body::poll_frame(Pin::new(&mut state.body), cx) else {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        match frame.data_ref() {
            Some(data) if state.keep(data) => this.next += 1,
            Some(_) => this.next = 0,
            // gRPC requests have no trailers.
            None => state.keeping = Keeping::Lost,
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let mut state = lock(&self.state);
        let is_current = state.attempts == self.number;
        let is_end = is_current && self.next >= state.kept.len() && state.body.is_end_stream();
        // With this answer the headers alone are the request.
        state.started |= is_end;
        is_end
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state);
        let is_whole = state.attempts == self.number && state.kept.is_empty();
        if is_whole { state.body.size_hint() } else { SizeHint::default() }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
