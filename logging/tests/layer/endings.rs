//! Every call has exactly one line, with the reason of its end and its duration. Tests each kind of ending.

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use tokio::time::advance;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{Cut, EndedBy, MethodKind, Refusal, Side};
use tonic_call_test_kit::{KINDS, Script, silence_panics};
use tonic_logging_layer::LoggingLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::{Layer as _, Service as _, service_fn};
use tracing::Level;

use crate::common::{
    self, Lines, SIDES, answers, call, described, drain, frame, layer, poll_once, run, stream, to,
    to_kind, with,
};

const STREAM: MethodKind = MethodKind::ServerStream;

/// A body with one message each second, then this status in trailers.
struct Slowly {
    left: usize,
    pause: Pin<Box<tokio::time::Sleep>>,
    status: Option<Status>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Slowly {
    fn new(messages: usize, status: Status) -> Self {
        Self { left: messages, pause: Box::pin(tokio::time::sleep(SECOND)), status: Some(status) }
    }
}

impl http_body::Body for Slowly {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::ready!(self.pause.as_mut().poll(cx));
        if self.left == 0 {
            let trailers = self
                .status
                .take()
                .map(|status| Ok(Frame::trailers(status.into_http::<()>().headers().clone())));
            return Poll::Ready(trailers);
        }
        self.left -= 1;
        self.pause = Box::pin(tokio::time::sleep(SECOND));
        Poll::Ready(Some(Ok(Frame::data(tonic_call_test_kit::frame_of(b"message")))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_with_data_loss_is_data_loss_and_took_as_long_as_it_took() {
    let lines = Lines::listen();
    for side in SIDES {
        for messages in [0, 1, 7] {
            let slowly = service_fn(move |_: Request<Body>| async move {
                tokio::time::sleep(SECOND / 2).await;
                Ok::<_, Status>(Response::new(Slowly::new(messages, Status::data_loss("lost"))))
            });
            run(described(side).layer(slowly), to_kind(STREAM)).await;
            let line = lines.take_only();
            assert_eq!(line.ending(), ("DATA_LOSS", "service"));
            assert_eq!(line.text("grpc.status_message"), Some("lost"));
            assert_eq!(line.number("grpc.response.messages"), Some(messages as u64));
            assert_eq!(line.number("grpc.response.bytes"), Some(7 * messages as u64));
            // Half a second until the head, one before each message, and one before the trailers.
            assert_eq!(line.duration_ms(), 1_500.0 + 1_000.0 * messages as f64, "{side:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_duration_is_in_milliseconds_to_the_microsecond() {
    let lines = Lines::listen();
    let slow = service_fn(async |_: Request<Body>| {
        advance(Duration::from_nanos(1_234_567_890)).await;
        Ok::<_, Status>(stream(1, &Status::ok("")))
    });
    run(LoggingLayer::server().layer(slow), to_kind(MethodKind::Unary)).await;
    assert_eq!(lines.take_only().duration_ms(), 1_234.567);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_its_head_is_cancelled_then() {
    let lines = Lines::listen();
    for side in SIDES {
        for kind in KINDS {
            let mut service = described(side)
                .layer(service_fn(async |_: Request<Body>| pending::<common::Answer>().await));
            let mut response = Box::pin(service.call(to_kind(kind)));
            assert!(poll_once(response.as_mut()).is_pending());
            advance(SECOND).await;
            lines.none();
            drop(response);
            let line = lines.take_only();
            assert_eq!(line.ending(), ("CANCELLED", "caller"), "{side:?} {kind:?}");
            assert_eq!(line.duration_ms(), 1_000.0);
            assert_eq!(line.messages(), (0, 0));
            assert_eq!(line.text("grpc.status_message"), None);
        }
    }
}

#[tokio::test]
async fn a_call_whose_future_is_never_polled_is_one_line() {
    let lines = Lines::listen();
    for side in SIDES {
        let mut service = described(side).layer(answers(|| Ok(stream(1, &Status::ok("")))));
        drop(service.call(to_kind(STREAM)));
        assert_eq!(lines.take_only().ending(), ("CANCELLED", "caller"));
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_after_any_of_its_messages_is_cancelled() {
    let lines = Lines::listen();
    for side in SIDES {
        // After the last message, before the trailers.
        for taken in 0..=3 {
            let mut service = described(side).layer(answers(|| Ok(stream(3, &Status::ok("")))));
            let mut body = service.call(to_kind(STREAM)).await.unwrap().into_body();
            for _ in 0..taken {
                frame(&mut body).await;
            }
            lines.none();
            drop(body);
            let line = lines.take_only();
            assert_eq!(line.ending(), ("CANCELLED", "caller"), "{side:?} after {taken}");
            assert_eq!(line.messages(), (1, taken));
        }
    }
}

#[tokio::test]
async fn a_stream_whose_trailers_were_taken_is_over_although_it_is_dropped() {
    let lines = Lines::listen();
    for side in SIDES {
        let mut service = described(side).layer(answers(|| Ok(stream(2, &Status::aborted("")))));
        let mut body = service.call(to_kind(STREAM)).await.unwrap().into_body();
        for _ in 0..3 {
            frame(&mut body).await;
        }
        assert_eq!(lines.only().ending(), ("ABORTED", "service"));
        drop(body);
        lines.take_only();
    }
}

#[tokio::test]
async fn a_stream_that_its_caller_drops_unread_is_one_line() {
    let lines = Lines::listen();
    let mut service = described(Side::Client).layer(answers(|| Ok(stream(5, &Status::ok("")))));
    let response = service.call(to_kind(STREAM)).await.unwrap();
    lines.none();
    drop(response);
    let line = lines.take_only();
    assert_eq!((line.ending(), line.messages()), (("CANCELLED", "caller"), (1, 0)));
}

#[tokio::test]
async fn a_request_that_broke_off_was_ended_by_its_caller_whatever_the_service_says() {
    let lines = Lines::listen();
    for kind in KINDS {
        let mut request = to_kind(kind);
        *request.body_mut() = Script::new().messages(2).error(Status::cancelled("reset"));
        call(&described(Side::Server), request, || Err(Status::internal("tonic says so"))).await;
        let line = lines.take_only();
        assert_eq!((line.ending(), line.messages()), (("CANCELLED", "caller"), (2, 0)));
        assert_eq!(line.text("grpc.status_message"), None, "nobody was told that");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_when_its_time_is_over_was_ended_by_its_deadline() {
    let lines = Lines::listen();
    for side in SIDES {
        for (elapsed, ending, level) in [
            (994, ("CANCELLED", "caller"), [Level::INFO, Level::DEBUG]),
            (995, ("DEADLINE_EXCEEDED", "deadline"), [Level::WARN, Level::INFO]),
            (2_000, ("DEADLINE_EXCEEDED", "deadline"), [Level::WARN, Level::INFO]),
        ] {
            for responds in [false, true] {
                let mut service =
                    described(side).layer(service_fn(move |_: Request<Body>| async move {
                        if !responds {
                            pending::<()>().await;
                        }
                        Ok::<_, Status>(Script::new().messages(1).stall().respond())
                    }));
                let request = with(to_kind(STREAM), &[("grpc-timeout", "1S")]);
                let mut response = Box::pin(service.call(request));
                let answered = poll_once(response.as_mut());
                assert_eq!(answered.is_ready(), responds);
                advance(Duration::from_millis(elapsed)).await;
                drop((response, answered));
                let line = lines.take_only();
                assert_eq!(line.ending(), ending, "{side:?} after {elapsed} ms");
                assert_eq!(line.level, level[usize::from(side == Side::Client)]);
                assert_eq!(line.duration_ms(), elapsed as f64);
                assert_eq!(line.number("grpc.timeout_ms"), Some(1_000));
            }
        }
    }
}

#[tokio::test]
async fn an_expired_timer_of_tonics_was_the_deadline() {
    let lines = Lines::listen();
    let service = service_fn(async |_: Request<Body>| {
        Err::<Response<Script>, tonic_call::BoxError>(Box::new(tonic::TimeoutExpired(())))
    });
    run(described(Side::Client).layer(service), to_kind(MethodKind::Unary)).await;
    let line = lines.take_only();
    assert_eq!(line.ending(), ("DEADLINE_EXCEEDED", "deadline"));
    assert_eq!(line.text("grpc.status_message"), Some("Timeout expired"));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_no_deadline_and_is_not_told() {
    let lines = Lines::listen();
    for timeout in ["soon", "1", "S", "1s", "-1S", "999999999S", ""] {
        let mut service = LoggingLayer::server()
            .layer(service_fn(async |_: Request<Body>| pending::<common::Answer>().await));
        let response = service.call(with(to_kind(STREAM), &[("grpc-timeout", timeout)]));
        advance(10 * SECOND).await;
        drop(response);
        let line = lines.take_only();
        assert_eq!(line.ending(), ("CANCELLED", "caller"), "{timeout:?}");
        assert_eq!(line.number("grpc.timeout_ms"), None, "{timeout:?}");
    }
}

/// Regression: a line reported a deadline that the call did not have.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_is_there_twice_is_as_malformed_for_the_line_as_for_the_ending() {
    let lines = Lines::listen();
    let mut service = LoggingLayer::server()
        .layer(service_fn(async |_: Request<Body>| pending::<common::Answer>().await));
    let twice: [(&str, &str); 2] = [("grpc-timeout", "1S"), ("grpc-timeout", "2S")];
    let response = service.call(with(to_kind(STREAM), &twice));
    advance(10 * SECOND).await;
    drop(response);
    let line = lines.take_only();
    assert_eq!(line.ending(), ("CANCELLED", "caller"));
    assert_eq!(line.number("grpc.timeout_ms"), None);
}

/// The place where a call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Call,
    Future,
    Stream,
}

const PLACES: [Place; 3] = [Place::Call, Place::Future, Place::Stream];

fn panics_at(
    place: Place,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = common::Answer> + Send,
> + Clone {
    service_fn(move |_: Request<Body>| {
        assert!(place != Place::Call, "in call, on purpose");
        async move {
            assert!(place != Place::Future, "in a future, on purpose");
            Ok(Script::new().messages(2).pending().panic().respond())
        }
    })
}

#[tokio::test]
async fn a_recovered_panic_is_one_line_whichever_layer_is_outside() {
    let lines = Lines::listen();
    silence_panics();
    for side in SIDES {
        let recovery = match side {
            Side::Server => RecoveryLayer::server(),
            Side::Client => RecoveryLayer::client(),
        };
        for kind in KINDS {
            for place in PLACES {
                for outside in [true, false] {
                    let (logging, recovery) = (described(side), recovery.clone());
                    if outside {
                        let service = logging.layer(recovery.layer(panics_at(place)));
                        run(service, to_kind(kind)).await;
                    } else {
                        let service = recovery.layer(logging.layer(panics_at(place)));
                        run(service, to_kind(kind)).await;
                    }
                    let line = lines.take_only();
                    let case = format!("{side:?} {kind:?} {place:?}, outside: {outside}");
                    assert_eq!(line.ending(), ("INTERNAL", "panic"), "{case}");
                    let messages = if place == Place::Stream { 2 } else { 0 };
                    assert_eq!(line.messages(), (0, messages), "{case}");
                    // If the logging layer is outside, the line has the caller's status, never the panic message.
                    let told = outside.then_some("internal error");
                    assert_eq!(line.text("grpc.status_message"), told, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_panic_that_nobody_recovers_is_one_line() {
    let lines = Lines::listen();
    silence_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for side in SIDES {
        for place in PLACES {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(run(described(side).layer(panics_at(place)), to_kind(STREAM)));
            }));
            unwound.unwrap_err();
            assert_eq!(lines.take_only().ending(), ("INTERNAL", "panic"), "{side:?} {place:?}");
        }
    }
}

#[tokio::test]
async fn a_panic_in_the_destructor_of_a_dropped_stream_is_one_line() {
    let lines = Lines::listen();
    silence_panics();
    for outside in [true, false] {
        let service = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Script::new().messages(2).panics_in_drop().respond())
        });
        let (logging, recovery) = (described(Side::Server), RecoveryLayer::server());
        if outside {
            let mut service = logging.layer(recovery.layer(service));
            drop(service.call(to_kind(STREAM)).await);
        } else {
            let mut service = recovery.layer(logging.layer(service));
            drop(service.call(to_kind(STREAM)).await);
        }
        let line = lines.take_only();
        // An inner recovery layer hides the panic from the outer layers.
        let ending = if outside { ("CANCELLED", "caller") } else { ("INTERNAL", "panic") };
        assert_eq!(line.ending(), ending, "outside: {outside}");
    }
}

/// Makes a call that a layer ends after the first message.
async fn cut_after_a_message(logging_outside: bool, by: EndedBy, status: Status) {
    let service = answers(|| Ok(Script::new().messages(1).stall().respond()));
    if logging_outside {
        let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
        let mut service =
            described(Side::Server).layer(service_fn(move |request: Request<Body>| {
                let (cut, response) = Cut::call(&mut service.clone(), request);
                sent.send(cut).unwrap();
                response
            }));
        let mut body = service.call(to_kind(STREAM)).await.unwrap().into_body();
        frame(&mut body).await;
        assert!(received.recv().await.unwrap().cut(by, status));
        drain(body).await;
    } else {
        let mut service = described(Side::Server).layer(service);
        let mut request = to_kind(STREAM);
        // This simulates a layer outside both.
        tonic_call::CallInfo::get_or_insert(Side::Server, request.extensions_mut());
        let (cut, response) = Cut::call(&mut service, request.map(Body::new));
        let mut body = response.await.unwrap().into_body();
        frame(&mut body).await;
        assert!(cut.cut(by, status));
        drain(body).await;
    }
}

#[tokio::test]
async fn a_call_that_is_cut_was_ended_by_what_cut_it() {
    let lines = Lines::listen();
    for (by, status, ended_by) in [
        (EndedBy::Deadline, Status::deadline_exceeded("too late"), "deadline"),
        (EndedBy::Refusal { by: "auth" }, Status::unauthenticated("expired"), "refusal"),
        (EndedBy::Caller, Status::cancelled("gone"), "caller"),
    ] {
        for outside in [true, false] {
            cut_after_a_message(outside, by, status.clone()).await;
            let line = lines.take_only();
            assert_eq!(line.ended_by(), ended_by, "outside: {outside}");
            assert_eq!(line.number("grpc.response.messages"), Some(1));
            if outside {
                let code = tonic_call::code_name(status.code());
                assert_eq!(line.code(), code);
                assert_eq!(line.text("grpc.status_message"), Some(status.message()));
            }
        }
    }
}

/// Regression: a line reported that a layer had ended the call, but not which one.
#[tokio::test]
async fn a_layer_that_ends_a_call_later_is_named() {
    let lines = Lines::listen();
    let by = EndedBy::Refusal { by: "auth" };
    cut_after_a_message(true, by, Status::unauthenticated("expired")).await;
    let line = lines.take_only();
    assert_eq!(line.ended_by(), "refusal");
    assert_eq!(line.text("grpc.refused_by"), Some("auth"));
}

#[tokio::test]
async fn a_refusal_names_its_layer_and_reason_and_one_in_shadow_does_not() {
    let lines = Lines::listen();
    for shadow in [false, true] {
        let service = service_fn(move |request: Request<Body>| async move {
            let info = tonic_call::CallInfo::of(request.extensions()).unwrap();
            let refusal = if shadow { Refusal::shadow } else { Refusal::new };
            info.add_refusal(refusal("ratelimit", "per_second"));
            let status = if shadow { Status::ok("") } else { Status::resource_exhausted("no") };
            Ok::<_, Status>(common::trailers_only(&status))
        });
        run(described(Side::Server).layer(service), to_kind(STREAM)).await;
        let line = lines.take_only();
        if shadow {
            assert_eq!(line.ending(), ("OK", "service"));
            assert_eq!(line.text("grpc.refused_by"), None);
            assert_eq!(line.text("grpc.refused_reason"), None);
        } else {
            assert_eq!(line.ending(), ("RESOURCE_EXHAUSTED", "refusal"));
            assert_eq!(line.text("grpc.refused_by"), Some("ratelimit"));
            assert_eq!(line.text("grpc.refused_reason"), Some("per_second"));
            assert_eq!(line.level, Level::WARN);
        }
    }
}

#[tokio::test]
async fn a_service_that_fails_is_one_line_with_its_error() {
    let lines = Lines::listen();
    for side in SIDES {
        call(&described(side), to_kind(STREAM), || {
            Ok(Script::new().messages(2).error(Status::unavailable("lost the database")).respond())
        })
        .await;
        let line = lines.take_only();
        assert_eq!((line.code(), line.ended_by()), ("UNAVAILABLE", "service"));
        assert_eq!(line.number("grpc.response.messages"), Some(2));
        let message = line.text("grpc.status_message").unwrap();
        assert!(message.contains("lost the database"), "{message}");
    }
}

#[tokio::test]
async fn two_layers_write_a_line_each_and_see_the_same() {
    let lines = Lines::listen();
    for (status, code) in [(Status::ok(""), Code::Ok), (Status::data_loss("x"), Code::DataLoss)] {
        let inner = described(Side::Server).layer(answers(move || Ok(stream(3, &status))));
        run(described(Side::Server).layer(inner), to("/test.v1.Kinds/ServerStream")).await;
        let both = lines.finished();
        assert_eq!(lines.json().len(), 2);
        lines.take();
        let [one, other] = &both[..] else { panic!("two lines, not {both:#?}") };
        assert_eq!(one.code(), tonic_call::code_name(code));
        assert!(one.is_root && other.is_root && one.spans.is_empty() && other.spans.is_empty());
        let without_duration = |line: &common::Seen| {
            let mut fields = line.fields.clone();
            fields.remove("duration_ms");
            fields
        };
        assert_eq!(without_duration(one), without_duration(other));
        assert_eq!(one.messages(), (1, 3));
    }
}

#[tokio::test]
async fn one_pass_with_another_observer_is_one_line() {
    let lines = Lines::listen();
    let recorder = tonic_call_test_kit::Recorder::new();
    let observers = (recorder.clone(), layer(Side::Server).observer());
    let service = tonic_call::ObserveLayer::server(observers)
        .methods(&common::methods())
        .layer(answers(|| Ok(stream(2, &Status::not_found("")))));
    run(service, to_kind(STREAM)).await;
    let line = lines.take_only();
    assert_eq!((line.ending(), line.messages()), (("NOT_FOUND", "service"), (1, 2)));
    assert_eq!(line.text("grpc.method_type"), Some("server_stream"));
    assert_eq!(recorder.only().code, Code::NotFound);
}
