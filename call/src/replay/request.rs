use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;

use super::body::ReplayBody;
use super::budget::ReplayBudget;
use super::buffer::Buffer;
use super::state::{Phase, State};
use crate::observe::MessageLimit;

/// The request body of one call, which its attempts read one after the other. Dropping it before the call is
/// [answered](Self::answered) ends the body that is being read.
///
/// What was read is kept until the call is answered or more was read than may be kept. An attempt that lingers, for
/// example in the task of a connection, cannot take data from its successor.
///
/// ```
/// use tonic::body::Body;
/// use tonic_call::{Replay, ReplayBudget};
///
/// let budget = ReplayBudget::default();
/// let replay = Replay::new(Body::empty(), None, Replay::DEFAULT_BYTES, budget.clone());
/// let first = replay.attempt();
/// // It has failed, and everything it has read is still there:
/// assert!(replay.end_attempt());
/// let second = replay.attempt();
/// // The server begins to answer the second one, which alone goes on:
/// replay.answered();
/// # drop((first, second));
/// ```
pub struct Replay {
    buffer: Arc<Buffer>,
    is_answered: bool,
}

/// The request of a call whose answer has begun: it may still be read, and nothing of it is kept.
pub struct AnsweredRequest(Arc<Buffer>);

impl Replay {
    /// The memory for the request of one call, as in grpc-go: 256 KiB.
    pub const DEFAULT_BYTES: usize = 256 * 1024;

    /// Keeps up to this number of bytes, which are also taken from the budget. A message that is longer than the limit
    /// fails the request.
    pub fn new(body: Body, limit: Option<MessageLimit>, max: usize, budget: ReplayBudget) -> Self {
        let has_limit = limit.is_some();
        let mut state = State::new(limit, max, budget);
        let is_at_end = body.is_end_stream();
        drop(state.give_back(body, is_at_end));
        Self { buffer: Arc::new(Buffer::new(state, has_limit)), is_answered: false }
    }

    /// A body for the next attempt, from the beginning.
    pub fn attempt(&self) -> ReplayBody {
        let number = self.buffer.state().begin_attempt();
        ReplayBody::new(Arc::clone(&self.buffer), number)
    }

    /// Ends the current attempt: its body fails from now on. Returns whether there can be another one; if not, it goes
    /// on.
    pub fn end_attempt(&self) -> bool {
        let mut state = self.buffer.state();
        // Under one lock: a reader that is still there may exceed what is kept, which drops what it has read.
        if state.phase != Phase::Replayable {
            return false;
        }
        state.begin_attempt();
        let reader = state.reader.take();
        drop(state);
        if let Some(waker) = reader {
            waker.wake();
        }
        true
    }

    /// Whether the body of the current attempt was polled, or its end was seen. While it is not, no message was sent:
    /// hyper polls a body after the head is sent.
    pub fn is_read(&self) -> bool {
        self.buffer.state().is_read
    }

    /// Whether the caller's request has failed.
    pub fn has_failed(&self) -> bool {
        self.buffer.state().has_failed()
    }

    /// The current attempt is answered: it reads the rest, of which nothing is kept.
    pub fn answered(mut self) -> AnsweredRequest {
        self.is_answered = true;
        self.buffer.state().commit();
        AnsweredRequest(Arc::clone(&self.buffer))
    }

    /// The answer to a call with a message that is too long, once there is one.
    pub fn poll_too_long(&self, cx: &Context<'_>) -> Poll<Status> {
        self.buffer.poll_too_long(cx)
    }
}

impl AnsweredRequest {
    /// Whether a message can be too long.
    pub fn has_limit(&self) -> bool {
        self.0.has_limit()
    }

    /// The answer to a call with a message that is too long, once there is one.
    pub fn poll_too_long(&self, cx: &Context<'_>) -> Poll<Status> {
        self.0.poll_too_long(cx)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut state = self.buffer.state();
        let leftover = state.close();
        let reader = state.reader.take();
        drop(state);
        drop(leftover);
        if let Some(waker) = reader {
            waker.wake();
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl fmt::Debug for AnsweredRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnsweredRequest")
    }
}
