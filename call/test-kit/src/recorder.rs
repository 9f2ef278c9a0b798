use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode, request};
use tokio::sync::Notify;
use tonic::Code;
use tonic_call::{
    Batch, Call, CallInfo, End, EndedBy, Flow, Message, Observer, Rpc, Side, Stopwatch,
};

/// An observer that records what its hooks receive. Clones share the records.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    calls: Arc<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    begun: AtomicUsize,
    /// One entry per call of `end`, in order.
    ended: Mutex<Vec<Recorded>>,
    an_end: Notify,
}

/// The record of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The side of the observer.
    pub side: Side,
    /// `pkg.Svc/Method`.
    pub rpc: String,
    /// Whether the method was known when the call began.
    pub known: bool,
    /// How often `responded` was called.
    pub heads: usize,
    /// The lengths of the request's messages.
    pub requests: Vec<u32>,
    /// The lengths of the response's messages.
    pub responses: Vec<u32>,
    /// The batches, in order.
    pub batches: Vec<(Flow, Batch)>,
    /// How it ended.
    pub ended: Ended,
    /// The code.
    pub code: Code,
    /// Who ended it.
    pub by: EndedBy,
    /// The message of the ending.
    pub message: Option<String>,
    /// The duration.
    pub took: Duration,
    /// The number of panics that unwound through it.
    pub unwound: usize,
    /// Whether `end` ran outside the call's scope.
    pub end_outside_scope: bool,
}

/// The variant of an [`End`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `End::Status`.
    Status,
    /// `End::Missing`.
    Missing,
    /// `End::Error`.
    Error,
    /// `End::Dropped`.
    Dropped {
        /// Whether the response head had arrived.
        responded: bool,
    },
}

/// One call that is being recorded.
#[derive(Debug)]
pub struct RecordedCall {
    calls: Arc<Calls>,
    info: CallInfo,
    stopwatch: Stopwatch,
    so_far: Mutex<Recorded>,
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The number of recorded scopes that this thread is in.
pub fn in_scope() -> usize {
    DEPTH.get()
}

impl Recorder {
    /// Creates a recorder without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of calls that have begun.
    pub fn begun(&self) -> usize {
        self.calls.begun.load(Ordering::SeqCst)
    }

    /// The calls that have ended, one entry per call of `end`.
    pub fn ended(&self) -> Vec<Recorded> {
        self.calls.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The only call.
    ///
    /// # Panics
    ///
    /// If there was not exactly one call, or if it ended more than once.
    #[track_caller]
    pub fn only(&self) -> Recorded {
        let mut ended = self.ended();
        assert_eq!((self.begun(), ended.len()), (1, 1), "begun and ended");
        ended.remove(0)
    }

    /// Waits until `end` was called this number of times.
    pub async fn until_ended(&self, count: usize) -> Vec<Recorded> {
        loop {
            let an_end = self.calls.an_end.notified();
            tokio::pin!(an_end);
            an_end.as_mut().enable();
            let ended = self.ended();
            if ended.len() >= count {
                return ended;
            }
            an_end.await;
        }
    }
}

impl Observer for Recorder {
    type Call = RecordedCall;

    fn begin(&self, side: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<RecordedCall> {
        self.calls.begun.fetch_add(1, Ordering::SeqCst);
        Some(RecordedCall {
            calls: Arc::clone(&self.calls),
            stopwatch: Stopwatch::since_arrival(&head.extensions),
            info: CallInfo::get_or_insert(side, &mut head.extensions),
            so_far: Mutex::new(Recorded {
                side,
                rpc: rpc.full().to_owned(),
                known: rpc.known().is_some(),
                heads: 0,
                requests: Vec::new(),
                responses: Vec::new(),
                batches: Vec::new(),
                ended: Ended::Missing,
                code: Code::Ok,
                by: EndedBy::Service,
                message: None,
                took: Duration::ZERO,
                unwound: 0,
                end_outside_scope: false,
            }),
        })
    }
}

impl RecordedCall {
    fn record(&self, fact: impl FnOnce(&mut Recorded)) {
        fact(&mut self.so_far.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Call for RecordedCall {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                DEPTH.set(DEPTH.get() - 1);
            }
        }
        DEPTH.set(DEPTH.get() + 1);
        let _leave = Leave;
        poll()
    }

    fn responded(&self, _: StatusCode, _: &mut HeaderMap) {
        self.record(|call| call.heads += 1);
    }

    fn message(&self, flow: Flow, message: Message) {
        self.record(|call| match flow {
            Flow::Request => call.requests.push(message.len),
            Flow::Response => call.responses.push(message.len),
        });
    }

    fn batch(&self, flow: Flow, batch: Batch) {
        self.record(|call| call.batches.push((flow, batch)));
    }

    fn unwound(&self) {
        self.record(|call| call.unwound += 1);
    }

    fn end(&self, end: End<'_>) {
        let mut recorded = self.so_far.lock().unwrap_or_else(PoisonError::into_inner).clone();
        recorded.ended = match end {
            End::Status { .. } => Ended::Status,
            End::Error { .. } => Ended::Error,
            End::Dropped { responded, .. } => Ended::Dropped { responded },
            _ => Ended::Missing,
        };
        recorded.code = end.code();
        recorded.by = self.info.ended_by(&end);
        recorded.message = end.message().map(std::borrow::Cow::into_owned);
        recorded.took = self.stopwatch.elapsed();
        recorded.end_outside_scope = in_scope() == 0;
        self.calls.ended.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
        self.calls.an_end.notify_waiters();
    }
}
