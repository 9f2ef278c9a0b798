use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;
use tonic_call::MessageLimit;

use super::body::AttemptBody;
use super::budget::Budget;
use super::buffer::Buffer;
use super::state::{Phase, State};

/// The request body of one call, which its attempts read one after the other. Dropping it before the call is
/// [answered](Self::answered) ends the body that is being read.
pub(crate) struct Replay {
    buffer: Arc<Buffer>,
    is_answered: bool,
}

impl Replay {
    /// Keeps up to this number of bytes, which are also taken from the budget.
    pub(crate) fn new(
        body: Body,
        limit: Option<MessageLimit>,
        max: usize,
        budget: Arc<Budget>,
    ) -> Self {
        let has_limit = limit.is_some();
        let mut state = State::new(limit, max, budget);
        let is_at_end = body.is_end_stream();
        drop(state.give_back(body, is_at_end));
        Self { buffer: Arc::new(Buffer::new(state, has_limit)), is_answered: false }
    }

    /// A body for the next attempt, from the beginning.
    pub(crate) fn attempt(&self) -> AttemptBody {
        let number = self.buffer.state().begin_attempt();
        AttemptBody::new(Arc::clone(&self.buffer), number)
    }

    /// Ends the current attempt: its body fails from now on. Returns whether there can be another one; if not, it goes
    /// on.
    pub(crate) fn end_attempt(&self) -> bool {
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

    /// Whether the caller's request has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.buffer.state().has_failed()
    }

    /// The current attempt is answered: it reads the rest, of which nothing is kept.
    pub(crate) fn answered(mut self) -> Arc<Buffer> {
        self.is_answered = true;
        self.buffer.state().commit();
        Arc::clone(&self.buffer)
    }

    /// The answer to a call with a message that is too long, once there is one.
    pub(crate) fn poll_too_long(&self, cx: &Context<'_>) -> Poll<Status> {
        self.buffer.poll_too_long(cx)
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
