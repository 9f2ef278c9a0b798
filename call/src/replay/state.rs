use std::task::Waker;

use bytes::Bytes;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::budget::ReplayBudget;
use super::frames::Frames;
use crate::observe::MessageLimit;

/// What is known of a request's body, and how far it was read.
pub(super) struct State {
    source: Source,
    /// All data since the beginning, while there can be another attempt; then what has not been read.
    frames: Frames,
    /// The number of frames that the current attempt has read and that are still there.
    next: usize,
    /// The memory that is taken for the frames.
    taken: usize,
    end: Option<SourceEnd>,
    /// The number of the current attempt, which alone may read.
    pub(super) attempt: u32,
    pub(super) phase: Phase,
    /// Whether the current attempt has begun to read.
    pub(super) is_read: bool,
    /// The task that reads for the current attempt.
    pub(super) reader: Option<Waker>,
    limit: Option<MessageLimit>,
    max: usize,
    budget: ReplayBudget,
}

/// Where the frames come from.
enum Source {
    Waiting(Body),
    /// Polled at this moment, without the lock, by the current attempt or by one that it has superseded.
    Polled,
    Gone,
}

/// How the source has ended.
#[derive(Clone)]
enum SourceEnd {
    Clean,
    /// The caller's own failure.
    Failed(Status),
    /// A message is longer than the limit.
    TooLong(Status),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There can be another attempt.
    Replayable,
    /// The current attempt is the last one.
    Committed,
    /// The call is over.
    Closed,
}

/// What a reader does next.
pub(super) enum Next {
    Return(Option<Result<Bytes, Status>>),
    /// Poll this, and give it back.
    Poll(Body),
    /// Another task polls the source.
    Wait,
}

/// What is left of a call that is over. To be dropped without the lock.
pub(super) struct Leftover {
    _source: Source,
    _frames: Frames,
}

/// What a frame costs besides its data. A stream of tiny messages would otherwise use many times its size.
const FRAME_BYTES: usize = size_of::<Bytes>();

impl State {
    pub(super) fn new(limit: Option<MessageLimit>, max: usize, budget: ReplayBudget) -> Self {
        Self {
            source: Source::Polled,
            frames: Frames::default(),
            next: 0,
            taken: 0,
            end: None,
            attempt: 0,
            phase: Phase::Replayable,
            is_read: false,
            reader: None,
            limit,
            max,
            budget,
        }
    }

    /// Takes back a source that was polled, or that is new. Returns it if it is not needed any more, to be dropped
    /// without the lock.
    pub(super) fn give_back(&mut self, source: Body, is_at_end: bool) -> Option<Body> {
        if is_at_end {
            self.end.get_or_insert(SourceEnd::Clean);
        }
        if self.end.is_some() || self.phase == Phase::Closed {
            self.source = Source::Gone;
            return Some(source);
        }
        self.source = Source::Waiting(source);
        None
    }

    /// The source has returned this.
    pub(super) fn receive(&mut self, frame: Option<Result<Frame<Bytes>, Status>>) {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.receive_data(data),
            Some(Err(status)) => self.end = Some(SourceEnd::Failed(status)),
            // A request of gRPC has no trailers.
            Some(Ok(Err(_))) | None => self.end = Some(SourceEnd::Clean),
        }
    }

    fn receive_data(&mut self, data: Bytes) {
        if let Some(limit) = &mut self.limit
            && let Err(len) = limit.check(&data)
        {
            let max = limit.max();
            let text =
                format!("a request message of {len} bytes is longer than the limit of {max}");
            self.end = Some(SourceEnd::TooLong(Status::resource_exhausted(text)));
            return;
        }
        let bytes = data.len() + FRAME_BYTES;
        if self.phase == Phase::Replayable {
            if self.taken + bytes <= self.max && self.budget.take(bytes) {
                self.taken += bytes;
            } else {
                self.commit();
            }
        }
        self.frames.push_back(data);
    }

    /// What the current attempt does next.
    pub(super) fn next(&mut self) -> Next {
        if let Some(data) = self.next_frame() {
            return Next::Return(Some(Ok(data)));
        }
        match &self.end {
            Some(SourceEnd::Clean) => return Next::Return(None),
            Some(SourceEnd::Failed(status) | SourceEnd::TooLong(status)) => {
                return Next::Return(Some(Err(status.clone())));
            }
            None => {}
        }
        match std::mem::replace(&mut self.source, Source::Polled) {
            Source::Waiting(source) => Next::Poll(source),
            other => {
                self.source = other;
                Next::Wait
            }
        }
    }

    fn next_frame(&mut self) -> Option<Bytes> {
        if self.phase == Phase::Replayable {
            let data = self.frames.get(self.next)?.clone();
            self.next += 1;
            return Some(data);
        }
        let data = self.frames.pop_front()?;
        self.put_back(data.len() + FRAME_BYTES);
        Some(data)
    }

    /// Whether the current attempt has read everything, and nothing follows.
    pub(super) fn is_at_end(&self) -> bool {
        self.next >= self.frames.len() && matches!(self.end, Some(SourceEnd::Clean))
    }

    /// Whether the caller's request has failed: another attempt would fail as well.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.end, Some(SourceEnd::Failed(_) | SourceEnd::TooLong(_)))
    }

    /// The answer to a call with a message that is too long.
    pub(super) fn too_long(&self) -> Option<Status> {
        match &self.end {
            Some(SourceEnd::TooLong(status)) => Some(status.clone()),
            _ => None,
        }
    }

    /// The current attempt is the last one: what it has read is not kept.
    pub(super) fn commit(&mut self) {
        if self.phase != Phase::Replayable {
            return;
        }
        self.phase = Phase::Committed;
        let read = std::mem::take(&mut self.next);
        let frames = (0..read).filter_map(|_| self.frames.pop_front());
        let bytes = frames.map(|data| data.len() + FRAME_BYTES).sum();
        self.put_back(bytes);
    }

    /// Begins the next attempt, which reads from the beginning. The one before may not read any more.
    pub(super) fn begin_attempt(&mut self) -> u32 {
        self.attempt += 1;
        self.next = 0;
        self.is_read = false;
        self.attempt
    }

    /// The call is over: nothing is read any more.
    pub(super) fn close(&mut self) -> Leftover {
        self.phase = Phase::Closed;
        self.put_back(self.taken);
        self.next = 0;
        let source = match self.source {
            Source::Polled => Source::Gone,
            _ => std::mem::replace(&mut self.source, Source::Gone),
        };
        Leftover { _source: source, _frames: std::mem::take(&mut self.frames) }
    }

    /// Frames that came after the commit have taken nothing; they are read last.
    fn put_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.taken);
        self.taken -= bytes;
        self.budget.put_back(bytes);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.put_back(self.taken);
    }
}
