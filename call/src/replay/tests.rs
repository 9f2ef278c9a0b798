use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::{Replay, ReplayBody, ReplayBudget};
use crate::observe::MessageLimit;

type Item = Result<&'static str, Status>;

/// Frames with these texts; then the end, or nothing more. Panics if it is polled after the end.
struct Texts {
    left: Option<std::vec::IntoIter<Item>>,
    stalls: bool,
}

impl http_body::Body for Texts {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let text = self.left.as_mut().expect("it is not polled after its end").next();
        if text.is_none() && self.stalls {
            return Poll::Pending;
        }
        if !matches!(text, Some(Ok(_))) {
            self.left = None;
        }
        let frame = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
        Poll::Ready(text.map(|text| text.map(frame)))
    }
}

fn texts(texts: Vec<Item>) -> Body {
    Body::new(Texts { left: Some(texts.into_iter()), stalls: false })
}

fn replay(body: Body) -> Replay {
    Replay::new(body, None, Replay::DEFAULT_BYTES, ReplayBudget::default())
}

/// Reads up to this number of frames.
fn read(attempt: &mut ReplayBody, count: usize) -> Vec<String> {
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
fn each_attempt_reads_everything_and_the_source_is_not_polled_after_its_end() {
    let replay = replay(texts(vec![Ok("a"), Ok("b")]));
    for _ in 0..3 {
        let mut attempt = replay.attempt();
        assert!(!attempt.is_end_stream());
        assert_eq!(read(&mut attempt, 4), ["a", "b", "end", "end"]);
        assert!(attempt.is_end_stream() && replay.end_attempt());
    }
}

#[test]
fn an_attempt_goes_on_where_the_one_before_stopped() {
    let replay = replay(texts(vec![Ok("a"), Ok("b"), Ok("c")]));
    assert_eq!(read(&mut replay.attempt(), 2), ["a", "b"]);
    assert_eq!(read(&mut replay.attempt(), 4), ["a", "b", "c", "end"]);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_task_of_an_attempt_that_is_over_is_woken_and_its_body_fails() {
    let source = Texts { left: Some(Vec::new().into_iter()), stalls: true };
    let replay = replay(Body::new(source));
    let mut first = replay.attempt();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(Pin::new(&mut first).poll_frame(&mut Context::from_waker(&waker)).is_pending());
    assert!(replay.end_attempt());
    assert!(woken.0.load(Ordering::Relaxed));
    assert_eq!(read(&mut first, 1), ["the attempt is over"]);
    let mut second = replay.attempt();
    drop(replay);
    assert_eq!(read(&mut second, 1), ["the call is over"]);
}

#[test]
fn an_attempt_is_read_when_its_body_is_polled_or_its_end_is_seen() {
    let polled = replay(texts(vec![Ok("a")]));
    let mut attempt = polled.attempt();
    assert!(!attempt.is_end_stream() && !polled.is_read());
    read(&mut attempt, 1);
    assert!(polled.is_read());
    drop(polled.attempt());
    assert!(!polled.is_read(), "the next attempt is not");

    let empty = replay(Body::empty());
    assert!(empty.attempt().is_end_stream() && empty.is_read());
}

#[test]
fn more_than_the_limit_of_a_call_or_of_all_calls_is_not_kept() {
    let small = |max, budget: &ReplayBudget| {
        Replay::new(texts(vec![Ok("a"), Ok("b")]), None, max, budget.clone())
    };
    let budget = ReplayBudget::new(1_000);
    for replay in [small(60, &budget), small(1_000, &ReplayBudget::new(60))] {
        let mut attempt = replay.attempt();
        assert_eq!(read(&mut attempt, 1), ["a"]);
        assert_eq!(read(&mut attempt, 2), ["b", "end"]);
        assert!(!replay.end_attempt());
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_request_that_has_failed_says_so() {
    let failing = replay(texts(vec![Err(Status::aborted("no more"))]));
    assert_eq!(read(&mut failing.attempt(), 2), ["no more", "no more"]);
    assert!(failing.has_failed());

    let limit = Some(MessageLimit::new(2));
    let source = texts(vec![Ok("\0\0\0\0\u{3}abc")]);
    let long = Replay::new(source, limit, Replay::DEFAULT_BYTES, ReplayBudget::default());
    let message = "a request message of 3 bytes is longer than the limit of 2";
    assert_eq!(read(&mut long.attempt(), 1), [message]);
    let Poll::Ready(status) = long.poll_too_long(&Context::from_waker(Waker::noop())) else {
        panic!("there is an answer")
    };
    assert_eq!(status.message(), message);
}

#[test]
fn after_the_answer_nothing_is_kept_and_nothing_is_cut_off() {
    let budget = ReplayBudget::default();
    let source = texts(vec![Ok("a"), Ok("b"), Ok("c")]);
    let replay = Replay::new(source, None, Replay::DEFAULT_BYTES, budget.clone());
    read(&mut replay.attempt(), 2);
    let mut attempt = replay.attempt();
    read(&mut attempt, 1);
    assert!(budget.used() > 0);
    replay.answered();
    assert_eq!(read(&mut attempt, 3), ["b", "c", "end"]);
    assert_eq!(budget.used(), 0);
}
