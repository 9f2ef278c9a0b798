//! The deadlines of a client's calls: which one holds, what is sent, and how a call ends. Time is paused.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status, TimeoutExpired};
use tonic_call::{BoxError, EndedBy, MethodKind, ObserveLayer, parse_timeout};
use tonic_call_test_kit::{KINDS, Recorder, Script, frame, methods, to_kind, trailers_only, with};
use tonic_deadline_layer::{ClientDeadlineLayer, Deadline, DeadlineLayer, MethodTable};
use tower::{Layer as _, Service};

const SECOND: Duration = Duration::from_secs(1);
const UNARY: MethodKind = MethodKind::Unary;

/// What a channel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Hangs before the head.
    Hangs,
    /// Answers with two messages, and then hangs.
    Streams,
    /// Answers `OK`.
    Answers,
    /// Never gets a connection.
    NeverReady,
    /// Gets a connection after this time, and answers `OK`.
    ReadyAfter(Duration),
    /// Fails before it is ready.
    Fails,
    /// After this time: ends with this code in the head, in trailers, or as an error of tonic's own timer.
    EndsInHead(Duration, Code),
    EndsInTrailers(Duration, Code),
    TimesOut(Duration),
}

/// A channel that records what it is asked to send. A clone of it is not ready, and what is not ready panics when it
/// is called.
struct Channel {
    does: Does,
    waits: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    is_ready: bool,
    sent: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Channel {
    fn that(does: Does) -> Self {
        Self { does, waits: None, is_ready: false, sent: Arc::default() }
    }
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        Self { sent: Arc::clone(&self.sent), ..Self::that(self.does) }
    }
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Response<Script>, BoxError>> + Send>>;

impl Service<Request<Body>> for Channel {
    type Response = Response<Script>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.does {
            Does::NeverReady => return Poll::Pending,
            Does::Fails => return Poll::Ready(Err(Status::unavailable("no route").into())),
            Does::ReadyAfter(time) => {
                let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
                std::task::ready!(waits.as_mut().poll(cx));
            }
            _ => {}
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        assert!(std::mem::take(&mut self.is_ready), "called, and not polled ready");
        self.sent.lock().unwrap().push(request.headers().clone());
        let does = self.does;
        Box::pin(async move {
            let _request = request;
            match does {
                Does::Hangs => std::future::pending().await,
                Does::Streams => Ok(Script::new().messages(2).stall().respond()),
                Does::EndsInHead(time, code) => {
                    tokio::time::sleep(time).await;
                    Ok(trailers_only(&Status::new(code, "of the server")))
                }
                Does::EndsInTrailers(time, code) => {
                    tokio::time::sleep(time).await;
                    Ok(Script::new().messages(1).trailers(code).respond())
                }
                Does::TimesOut(time) => {
                    tokio::time::sleep(time).await;
                    Err(TimeoutExpired(()).into())
                }
                _ => Ok(Script::new().messages(1).trailers(Code::Ok).respond()),
            }
        })
    }
}

struct Called {
    code: Code,
    message: String,
    messages: usize,
    took: Duration,
    by: EndedBy,
    /// The header of the one request that was sent.
    sent: Option<Duration>,
}

async fn call(layer: &ClientDeadlineLayer, does: Does, request: Request<Script>) -> Called {
    let channel = Channel::that(does);
    let sent = Arc::clone(&channel.sent);
    let recorder = Recorder::new();
    let mut service = ObserveLayer::client(recorder.clone()).layer(layer.layer(channel));
    let began = Instant::now();
    let response = call_at_once(&mut service, request).await;
    let (head, mut body) = response.map_err(Status::from_error).unwrap().into_parts();
    let (mut messages, mut trailers) = (0, head.headers);
    if !body.is_end_stream() {
        trailers = loop {
            match frame(&mut body).await.into_trailers() {
                Ok(trailers) => break trailers,
                Err(_) => messages += 1,
            }
        };
    }
    let took = began.elapsed();
    let status = Status::from_header_map(&trailers).unwrap();
    let recorded = recorder.only();
    assert_eq!(recorded.code, status.code(), "what the observer outside says");
    let sent = sent.lock().unwrap();
    assert!(sent.len() <= 1);
    let sent = sent.first().and_then(|headers| headers.get("grpc-timeout"));
    Called {
        code: status.code(),
        message: status.message().to_owned(),
        messages,
        took,
        by: recorded.by,
        sent: sent.map(|value| parse_timeout(value).unwrap()),
    }
}

/// Calls a service that must be ready at once.
fn call_at_once<S: Service<Request<Script>>>(
    service: &mut S,
    request: Request<Script>,
) -> S::Future {
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ready, Poll::Ready(Ok(()))));
    service.call(request)
}

fn timeout(kind: MethodKind, value: &str) -> Request<Script> {
    with(to_kind(kind), &[("grpc-timeout", value)])
}

#[tokio::test(start_paused = true)]
async fn a_call_of_each_kind_ends_at_its_deadline_before_the_head_and_after_messages() {
    for kind in KINDS {
        for (does, messages) in [(Does::Hangs, 0), (Does::Streams, 2), (Does::NeverReady, 0)] {
            let called = call(&DeadlineLayer::client(None), does, timeout(kind, "250m")).await;
            let cell = format!("{kind} {does:?}");
            assert_eq!(called.code, Code::DeadlineExceeded, "{cell}");
            assert_eq!(called.message, "the caller's deadline has passed", "{cell}");
            assert_eq!(called.by, EndedBy::Deadline, "{cell}");
            assert_eq!(called.messages, messages, "{cell}");
            assert_eq!(called.took.as_millis() / 10, 25, "{cell} {:?}", called.took);
            let sent = (does != Does::NeverReady).then_some(Duration::from_millis(250));
            assert_eq!(called.sent, sent, "{cell}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_deadline_is_left_alone() {
    for kind in KINDS {
        for does in [Does::Answers, Does::ReadyAfter(SECOND)] {
            let called = call(&DeadlineLayer::client(None), does, to_kind(kind)).await;
            assert_eq!((called.code, called.messages, called.sent), (Code::Ok, 1, None));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_limit_is_for_unary_methods_alone() {
    let layer = DeadlineLayer::client(2 * SECOND).methods(&methods());
    for kind in KINDS {
        let called = call(&layer, Does::Answers, to_kind(kind)).await;
        assert_eq!(called.sent, (kind == UNARY).then_some(2 * SECOND), "{kind}");
    }
    let called = call(&layer, Does::Hangs, to_kind(UNARY)).await;
    assert_eq!(called.message, "the client's limit of 2s for this call has passed");
    assert_eq!((called.code, called.took.as_secs()), (Code::DeadlineExceeded, 2));
}

#[tokio::test(start_paused = true)]
async fn a_limit_for_a_method_holds_whatever_its_kind() {
    let limits = MethodTable::new(Some(2 * SECOND))
        .service("test.v1.Kinds", Some(3 * SECOND))
        .method("test.v1.Kinds", "ServerStream", Some(4 * SECOND))
        .method("test.v1.Kinds", "Peek", None)
        .checked(&methods())
        .unwrap();
    let layer = DeadlineLayer::client(limits).methods(&methods());
    for (kind, sent) in [
        (UNARY, Some(3 * SECOND)),
        (MethodKind::ServerStream, Some(4 * SECOND)),
        (MethodKind::BidiStream, None),
    ] {
        assert_eq!(call(&layer, Does::Answers, to_kind(kind)).await.sent, sent, "{kind}");
    }
    let peek = tonic_call_test_kit::to("/test.v1.Kinds/Peek");
    assert_eq!(call(&layer, Does::Answers, peek).await.sent, None);
}

#[tokio::test(start_paused = true)]
async fn the_smallest_of_the_callers_the_clients_and_the_inbound_deadline_holds() {
    let layer = DeadlineLayer::client(3 * SECOND).methods(&methods());
    for (caller, inbound, sent, message) in [
        ("2S", 4, 2, "the caller's deadline has passed"),
        ("5S", 4, 3, "the client's limit of 3s for this call has passed"),
        ("5S", 1, 1, "the deadline of the inbound call has passed"),
    ] {
        let inbound = Deadline::after(inbound * SECOND);
        let request = timeout(UNARY, caller);
        let called = Deadline::scope(inbound, call(&layer, Does::Hangs, request)).await;
        assert_eq!(called.message, message);
        assert_eq!(called.sent, Some(sent * SECOND), "{message}");
        assert_eq!(called.took.as_secs(), u64::from(sent), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_inbound_deadline_reaches_calls_by_the_task_and_by_the_request() {
    let layer = DeadlineLayer::client(None);
    let inbound = Deadline::after(2 * SECOND);
    let by_task = call(&layer, Does::Answers, to_kind(MethodKind::BidiStream));
    assert_eq!(Deadline::scope(inbound, by_task).await.sent, Some(2 * SECOND));

    let mut request = to_kind(UNARY);
    request.extensions_mut().insert(inbound.unwrap());
    assert_eq!(call(&layer, Does::Answers, request).await.sent, Some(2 * SECOND));

    let detached = Deadline::detached(call(&layer, Does::Answers, to_kind(UNARY)));
    assert_eq!(Deadline::scope(inbound, detached).await.sent, None);
}

#[tokio::test(start_paused = true)]
async fn a_margin_is_kept_of_the_inbound_deadline_alone() {
    let layer = DeadlineLayer::client(None).margin(Duration::from_millis(300));
    let inbound = Deadline::after(SECOND);
    let inside = call(&layer, Does::Answers, to_kind(UNARY));
    assert_eq!(Deadline::scope(inbound, inside).await.sent, Some(Duration::from_millis(700)));
    assert_eq!(call(&layer, Does::Answers, timeout(UNARY, "1S")).await.sent, Some(SECOND));

    let late = Deadline::after(Duration::from_millis(300));
    let called = Deadline::scope(late, call(&layer, Does::Answers, to_kind(UNARY))).await;
    assert_eq!((called.code, called.sent), (Code::DeadlineExceeded, None));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_nothing_is_left() {
    let layer = DeadlineLayer::client(None);
    for request in [timeout(UNARY, "0m"), to_kind(MethodKind::ClientStream)] {
        let inbound = Deadline::after(Duration::ZERO);
        let called = Deadline::scope(inbound, call(&layer, Does::Answers, request)).await;
        assert_eq!((called.code, called.by), (Code::DeadlineExceeded, EndedBy::Deadline));
        assert_eq!((called.sent, called.took), (None, Duration::ZERO));
    }
    // Nor when all of it went by while the call waited for a connection.
    let wait = Does::ReadyAfter(Duration::from_millis(250));
    let called = call(&layer, wait, timeout(UNARY, "250m")).await;
    assert_eq!((called.code, called.sent), (Code::DeadlineExceeded, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_after_a_wait_is_what_is_left() {
    let called =
        call(&DeadlineLayer::client(None), Does::ReadyAfter(SECOND), timeout(UNARY, "3S")).await;
    assert_eq!(called.code, Code::Ok);
    let sent = called.sent.unwrap();
    assert!(sent <= 2 * SECOND && sent > 2 * SECOND - Duration::from_millis(5), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_what_is_enforced() {
    // Eight digits hold microseconds up to 100 s, milliseconds up to 27 h, and seconds above.
    for limit in [
        Duration::from_nanos(99_123_456_789),
        Duration::from_nanos(100_999_999_999),
        Duration::from_nanos(86_400_999_999_999),
        Duration::from_nanos(200_000_999_999_999),
    ] {
        let layer = DeadlineLayer::client(None);
        let inbound = Deadline::after(limit);
        let hangs = call(&layer, Does::Hangs, to_kind(UNARY));
        let called = Deadline::scope(inbound, hangs).await;
        let sent = called.sent.unwrap();
        assert!(sent <= limit, "{limit:?}");
        // The timer has a resolution of a millisecond.
        assert!(called.took >= sent, "{limit:?} {:?}", called.took);
        assert!(called.took <= sent + Duration::from_millis(2), "{limit:?} {:?}", called.took);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_before_the_channel_is_ready_keeps_its_code() {
    for request in [to_kind(UNARY), timeout(UNARY, "1S")] {
        let mut service = DeadlineLayer::client(None).layer(Channel::that(Does::Fails));
        let error = call_at_once(&mut service, request).await.unwrap_err();
        let status = Status::from_error(error);
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "no route"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_at_expiry_is_the_deadline() {
    let layer = DeadlineLayer::client(None);
    let almost = SECOND - Duration::from_millis(1);
    for does in [
        Does::EndsInHead(almost, Code::Cancelled),
        Does::EndsInTrailers(almost, Code::Cancelled),
        Does::EndsInHead(almost, Code::DeadlineExceeded),
        Does::TimesOut(almost),
        Does::TimesOut(2 * SECOND),
    ] {
        let called = call(&layer, does, timeout(UNARY, "1S")).await;
        assert_eq!(
            (called.code, called.by),
            (Code::DeadlineExceeded, EndedBy::Deadline),
            "{does:?}"
        );
        assert_eq!(called.message, "the caller's deadline has passed", "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_status_and_an_earlier_cancelled_stay() {
    let layer = DeadlineLayer::client(None);
    let almost = SECOND - Duration::from_millis(1);
    for (does, code) in [
        (Does::EndsInHead(almost, Code::NotFound), Code::NotFound),
        (Does::EndsInTrailers(almost, Code::DataLoss), Code::DataLoss),
        (Does::EndsInTrailers(almost, Code::Ok), Code::Ok),
        (Does::EndsInHead(SECOND / 2, Code::Cancelled), Code::Cancelled),
        (Does::EndsInTrailers(SECOND / 2, Code::Cancelled), Code::Cancelled),
    ] {
        let called = call(&layer, does, timeout(UNARY, "1S")).await;
        assert_eq!((called.code, called.by), (code, EndedBy::Service), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_channels_own_timer_is_a_deadline_too() {
    for request in [to_kind(UNARY), timeout(UNARY, "9S")] {
        let called = call(&DeadlineLayer::client(None), Does::TimesOut(SECOND), request).await;
        assert_eq!((called.code, called.by), (Code::DeadlineExceeded, EndedBy::Deadline));
        assert_eq!(called.message, "the channel's own timeout has passed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_not_sent() {
    let called = call(&DeadlineLayer::client(None), Does::Answers, timeout(UNARY, "soon")).await;
    assert_eq!((called.code, called.by), (Code::Internal, EndedBy::Refusal { by: "deadline" }));
    assert!(called.message.contains("grpc-timeout"), "{}", called.message);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_ended_too() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let channel = tower::service_fn(move |request: Request<Body>| {
        let held = Arc::clone(&held);
        async move {
            // As a connection does: it sends the request in a task of its own.
            tokio::spawn(async move {
                let _held = held;
                tonic_call_test_kit::drain(request.into_body()).await;
            });
            Ok::<_, BoxError>(Script::new().messages(2).stall().respond())
        }
    });
    let mut service = DeadlineLayer::client(None).layer(channel);
    let request = timeout(MethodKind::BidiStream, "1S").map(|_| Script::new().stall());
    let response = call_at_once(&mut service, request).await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 3); // the channel's, and that of the task
    tokio::time::sleep(SECOND + Duration::from_millis(2)).await;
    assert_eq!(Arc::strong_count(&alive), 2, "the request stream has ended");
    let mut body = response.into_body();
    let trailers = frame(&mut body).await.into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn the_service_that_waited_is_the_one_that_is_called() {
    // The channel panics if another one is called; a second call does not wait for the first.
    let mut service = DeadlineLayer::client(None).layer(Channel::that(Does::ReadyAfter(SECOND)));
    let began = Instant::now();
    let calls: Vec<_> = (0..3).map(|_| call_at_once(&mut service, timeout(UNARY, "5S"))).collect();
    for call in calls {
        assert!(call.await.is_ok());
    }
    assert_eq!(began.elapsed().as_secs(), 1);
}
