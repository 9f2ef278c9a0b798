//! Request bodies that can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// A request body whose data each attempt gets from the beginning, until one of them is answered.
#[derive(Debug)]
pub(super) struct Replay(Arc<Mutex<State>>);

/// The body of one attempt. It fails once there is a later one.
#[derive(Debug)]
pub(super) struct Attempt {
    state: Arc<Mutex<State>>,
    number: u32,
}

#[derive(Debug)]
struct State {
    body: Body,
    /// Whether the body must not be polled again.
    ended: bool,
    /// The data that was read from the body, if all of it is kept.
    kept: Option<Kept>,
    /// The number of the latest attempt.
    attempt: u32,
    /// Whether the latest attempt may have been sent: its body was polled, or its end was seen.
    started: bool,
    /// Whether the call is answered: what is read from now on is not kept.
    answered: bool,
    /// The task that polls the body of the latest attempt.
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: Vec<Bytes>,
    bytes: usize,
    /// The next frame for the latest attempt.
    next: usize,
}

/// A request of which more was read is not sent again.
const MAX_KEPT_BYTES: usize = 256 << 10;

impl Replay {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State {
            body,
            ended: false,
            kept: Some(Kept::default()),
            attempt: 0,
            started: false,
            answered: false,
            waker: None,
        })))
    }

    /// Whether another attempt can have all of the data.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.0).kept.is_some()
    }

    /// The body for the next attempt. That of the attempt before fails from now on.
    pub(super) fn attempt(&self) -> Attempt {
        let mut state = lock(&self.0);
        state.attempt += 1;
        state.started = false;
        if let Some(kept) = &mut state.kept {
            kept.next = 0;
        }
        // The task that polls the attempt before must notice that it is over.
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        Attempt { state: Arc::clone(&self.0), number: state.attempt }
    }

    /// Whether the latest attempt may have been sent: hyper polls a body as soon as its stream is open, and not before.
    pub(super) fn was_started(&self) -> bool {
        lock(&self.0).started
    }

    /// The call is answered, and will not be sent again.
    pub(super) fn commit(&self) {
        let mut state = lock(&self.0);
        state.answered = true;
        // Frames that the latest attempt has not read yet are still needed.
        if state.has_read_kept() {
            state.kept = None;
        }
    }
}

impl Kept {
    /// The next frame for the latest attempt, if it was read before.
    fn next(&mut self) -> Option<Bytes> {
        let frame = self.frames.get(self.next).cloned();
        self.next += usize::from(frame.is_some());
        frame
    }

    /// Keeps a frame that the latest attempt reads now. Returns false if it is too large.
    fn push(&mut self, frame: &Bytes) -> bool {
        self.bytes += frame.len();
        self.frames.push(frame.clone());
        self.next = self.frames.len();
        self.bytes <= MAX_KEPT_BYTES
    }
}

impl State {
    fn has_read_kept(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.next == kept.frames.len())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.started = true;
        if let Some(frame) = self.kept.as_mut().and_then(Kept::next) {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if self.answered {
            self.kept = None;
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = http_body::Body::poll_frame(Pin::new(&mut self.body), cx) else {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let data = match &frame {
            Some(Ok(frame)) => frame.data_ref(),
            Some(Err(_)) | None => {
                self.ended = true;
                None
            }
        };
        let is_kept = match (data, &mut self.kept) {
            (Some(data), Some(kept)) => kept.push(data),
            // An error cannot be repeated, and requests have no trailers.
            _ => frame.is_none(),
        };
        if !is_kept {
            self.kept = None;
        }
        Poll::Ready(frame)
    }
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = lock(&self.state);
        if state.attempt == self.number {
            return state.poll(cx);
        }
        Poll::Ready(Some(Err(Status::cancelled("the call is sent again elsewhere"))))
    }

    fn is_end_stream(&self) -> bool {
        let mut state = lock(&self.state);
        let is_end = state.attempt == self.number
            && state.has_read_kept()
            && (state.ended || http_body::Body::is_end_stream(&state.body));
        // The headers alone may be the whole request.
        state.started |= is_end;
        is_end
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state);
        let is_unread = state.kept.as_ref().is_some_and(|kept| kept.frames.is_empty());
        if is_unread { http_body::Body::size_hint(&state.body) } else { SizeHint::default() }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use http_body::Body as _;

    use super::*;

    /// Frames with these texts, and then the end. Panics if it is polled after the end.
    struct Texts(Option<std::vec::IntoIter<Result<&'static str, Status>>>);

    impl http_body::Body for Texts {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let texts = self.0.as_mut().expect("it is not polled after its end");
            let text = texts.next();
            if !matches!(text, Some(Ok(_))) {
                self.0 = None;
            }
            let frame = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
            Poll::Ready(text.map(|text| text.map(frame)))
        }
    }

    fn replay(texts: Vec<Result<&'static str, Status>>) -> Replay {
        Replay::new(Body::new(Texts(Some(texts.into_iter()))))
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Reads up to this number of frames.
    fn read(attempt: &mut Attempt, count: usize) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut texts = Vec::new();
        for _ in 0..count {
            match Pin::new(&mut *attempt).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.into_data().expect("there are no trailers");
                    texts.push(String::from_utf8_lossy(&data).into_owned());
                }
                Poll::Ready(Some(Err(status))) => texts.push(status.message().to_owned()),
                Poll::Ready(None) => texts.push("end".to_owned()),
                Poll::Pending => texts.push("pending".to_owned()),
            }
        }
        texts
    }

    #[test]
    fn each_attempt_reads_everything_and_the_body_is_not_polled_after_its_end() {
        let replay = replay(vec![Ok("a"), Ok("b")]);
        for _ in 0..3 {
            let mut attempt = replay.attempt();
            assert!(!attempt.is_end_stream());
            assert_eq!(read(&mut attempt, 4), ["a", "b", "end", "end"]);
            assert!(attempt.is_end_stream() && replay.is_whole());
        }
    }

    #[test]
    fn an_attempt_goes_on_where_the_one_before_stopped() {
        let replay = replay(vec![Ok("a"), Ok("b"), Ok("c")]);
        assert_eq!(read(&mut replay.attempt(), 2), ["a", "b"]);
        assert_eq!(read(&mut replay.attempt(), 4), ["a", "b", "c", "end"]);
    }

    #[test]
    fn an_attempt_fails_once_there_is_a_later_one() {
        let replay = Replay::new(Body::new(tonic_call_test_kit::Script::new().pending()));
        let mut first = replay.attempt();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(Pin::new(&mut first).poll_frame(&mut Context::from_waker(&waker)).is_pending());
        let second = replay.attempt();
        assert!(woken.0.load(Ordering::Relaxed));
        assert_eq!(read(&mut first, 1), ["the call is sent again elsewhere"]);
        assert!(!first.is_end_stream());
        drop(second);
    }

    #[test]
    fn a_request_is_started_when_its_body_is_polled_or_its_end_is_seen() {
        let polled = replay(vec![Ok("a")]);
        let mut attempt = polled.attempt();
        assert!(!attempt.is_end_stream() && !polled.was_started());
        read(&mut attempt, 1);
        assert!(polled.was_started());
        drop(polled.attempt());
        assert!(!polled.was_started(), "the next attempt is not");

        let empty = Replay::new(Body::empty());
        assert!(empty.attempt().is_end_stream() && empty.was_started());
    }

    #[test]
    fn too_much_data_and_errors_are_not_repeated() {
        let text: &'static str = "x".repeat(MAX_KEPT_BYTES).leak();
        let large = replay(vec![Ok(text), Ok("y")]);
        let mut attempt = large.attempt();
        read(&mut attempt, 1);
        assert!(large.is_whole());
        assert_eq!(read(&mut attempt, 2), ["y", "end"]);
        assert!(!large.is_whole());

        let failing = replay(vec![Err(Status::aborted("no more"))]);
        assert_eq!(read(&mut failing.attempt(), 2), ["no more", "end"]);
        assert!(!failing.is_whole());
    }

    #[test]
    fn after_the_answer_nothing_is_kept() {
        let replay = replay(vec![Ok("a"), Ok("b")]);
        let mut attempt = replay.attempt();
        read(&mut attempt, 1);
        replay.commit();
        assert!(lock(&replay.0).kept.is_none());
        assert_eq!(read(&mut attempt, 2), ["b", "end"]);
    }

    #[test]
    fn an_answer_that_comes_early_cuts_nothing_off() {
        let replay = replay(vec![Ok("a"), Ok("b")]);
        read(&mut replay.attempt(), 1);
        let mut attempt = replay.attempt();
        replay.commit();
        assert_eq!(read(&mut attempt, 3), ["a", "b", "end"]);
        assert!(lock(&replay.0).kept.is_none());
    }
}
