//! A call's span ends exactly once, when the call ends, with the call's status. Tests each kind of ending.

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use http::{Request, Response, StatusCode};
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::SpanData;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_call::{Cut, EndedBy, MethodKind, ObserveLayer, Side};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, PanicsInDrop, Recorder, Script, ask, call as call_kind, listen,
    silence_panics,
};
use tonic_recovery_layer::RecoveryLayer;
use tower::{Layer as _, Service, service_fn};

use crate::common::*;

const STREAM: MethodKind = MethodKind::ServerStream;

/// Asserts that the span has this code, and the span status that follows from it on this side.
#[track_caller]
fn assert_ended(span: &SpanData, side: Side, name: &str, failed: bool, description: &str) {
    assert_eq!(code(span), name, "{side:?}");
    let status = match failed {
        true => SpanStatus::error(description.to_owned()),
        false => SpanStatus::Unset,
    };
    assert_eq!(span.status, status, "{side:?} {name}");
    assert_eq!(text(span, "error.type").as_deref(), failed.then_some(name), "{side:?}");
    assert!(span.events.events.is_empty(), "{side:?}: {:?}", span.events);
    assert!(span.end_time >= span.start_time);
}

#[tokio::test]
async fn a_span_ends_with_the_trailers_and_not_before() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.described(side);
        let mut service = layer.layer(answers(|| Ok(stream(3, &Status::data_loss("lost")))));
        let before = SystemTime::now();
        let future = service.call(to_kind(STREAM));
        traces.none();
        let mut body = future.await.unwrap().into_body();
        for _ in 0..3 {
            traces.none();
            frame(&mut body).await;
        }
        traces.none();
        let last = SystemTime::now();
        assert!(frame(&mut body).await.is_trailers());
        let span = traces.only();
        assert!(before <= span.start_time && span.start_time <= last && last <= span.end_time);
        drop(body);
        drop(service);
        drop(layer);
        assert_ended(&traces.only(), side, "DATA_LOSS", true, "lost");
    }
}

#[tokio::test]
async fn a_head_that_is_the_whole_answer_ends_the_span() {
    for side in SIDES {
        let traces = Traces::new();
        let mut service =
            traces.described(side).layer(answers(|| Ok(trailers_only(&Status::internal("no")))));
        let response = service.call(to_kind(STREAM)).await.unwrap();
        // tonic drops a body that is already at its end.
        assert_ended(&traces.only(), side, "INTERNAL", true, "no");
        drop(response);
        traces.only();
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_before_its_head_is_cancelled_then() {
    for side in SIDES {
        for kind in KINDS {
            for polls in 0..2 {
                let traces = Traces::new();
                let mut service = traces
                    .described(side)
                    .layer(service_fn(async |_: Request<Body>| pending::<Answer>().await));
                let mut response = Box::pin(service.call(to_kind(kind)));
                for _ in 0..polls {
                    assert!(poll_once(response.as_mut()).is_pending());
                }
                traces.none();
                drop(response);
                assert_ended(&traces.only(), side, "CANCELLED", side == Side::Client, "");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_after_any_of_its_messages_is_cancelled_then() {
    for side in SIDES {
        // After the last message, before the trailers.
        for taken in 0..=3 {
            let traces = Traces::new();
            let mut service =
                traces.described(side).layer(answers(|| Ok(stream(3, &Status::ok("")))));
            let mut body = service.call(to_kind(STREAM)).await.unwrap().into_body();
            for _ in 0..taken {
                frame(&mut body).await;
            }
            traces.none();
            drop(body);
            assert_ended(&traces.only(), side, "CANCELLED", side == Side::Client, "");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_never_read_is_cancelled_when_it_is_dropped() {
    for side in SIDES {
        let traces = Traces::new();
        let mut service = traces.described(side).layer(answers(|| Ok(stream(0, &Status::ok("")))));
        let response = service.call(to_kind(STREAM)).await.unwrap();
        traces.none();
        drop(response);
        assert_ended(&traces.only(), side, "CANCELLED", side == Side::Client, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_after_its_deadline_is_a_deadline() {
    for side in SIDES {
        for (elapsed, name, failed) in [
            (900, "CANCELLED", side == Side::Client),
            (996, "DEADLINE_EXCEEDED", true),
            (1_000, "DEADLINE_EXCEEDED", true),
        ] {
            for responded in [false, true] {
                let traces = Traces::new();
                let mut service =
                    traces.described(side).layer(service_fn(move |_: Request<Body>| async move {
                        if !responded {
                            pending::<()>().await;
                        }
                        Ok::<_, Infallible>(Script::new().messages(1).stall().respond())
                    }));
                let request = with(to_kind(STREAM), &[("grpc-timeout", "1S")]);
                let mut future = Box::pin(service.call(request));
                let polled = poll_once(future.as_mut());
                assert_eq!(polled.is_ready(), responded);
                tokio::time::advance(Duration::from_millis(elapsed)).await;
                drop((polled, future));
                assert_ended(&traces.only(), side, name, failed, "");
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_is_cut_ends_as_whoever_cut_it_says() {
    for responded in [false, true] {
        let traces = Traces::new();
        let inner = service_fn(move |_: Request<Body>| async move {
            if !responded {
                pending::<()>().await;
            }
            Ok::<_, Status>(Script::new().messages(1).stall().respond())
        });
        let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
        let mut service =
            traces.described(Side::Server).layer(service_fn(move |request: Request<Body>| {
                let (cut, response) = Cut::call(&mut inner.clone(), request);
                sent.send(cut).unwrap();
                response
            }));
        let mut future = Box::pin(service.call(to_kind(STREAM)));
        let polled = poll_once(future.as_mut());
        assert_eq!(polled.is_ready(), responded);
        traces.none();
        let cut = received.recv().await.unwrap();
        assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
        let response = match polled {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => future.await.unwrap(),
        };
        drain(response.into_body()).await;
        assert_ended(&traces.only(), Side::Server, "DEADLINE_EXCEEDED", true, "too late");
    }
}

#[tokio::test]
async fn every_other_ending_is_one_span_which_says_it() {
    // The service's result; the code, whether a server's span is an error, and the message.
    type Case = (fn() -> Answer, &'static str, bool, &'static str);
    let cases: [Case; 12] = [
        (|| Err(Status::unavailable("no backend")), "UNAVAILABLE", true, "no backend"),
        (|| Err(Status::not_found("not there")), "NOT_FOUND", false, "not there"),
        (
            || Ok(Script::new().messages(1).error(Status::aborted("conflict")).respond()),
            "ABORTED",
            false,
            "conflict",
        ),
        // The response ends without a status.
        (|| Ok(Script::new().messages(1).respond()), "UNKNOWN", true, ""),
        (|| Ok(Script::new().respond()), "UNKNOWN", true, ""),
        (|| Ok(Script::new().says_end().respond()), "UNKNOWN", true, ""),
        (|| Ok(Script::new().messages(1).says_end().respond()), "UNKNOWN", true, ""),
        (|| Ok(Script::new().trailers_of(http::HeaderMap::new()).respond()), "UNKNOWN", true, ""),
        (|| Ok(with_http(StatusCode::BAD_GATEWAY)), "UNAVAILABLE", true, ""),
        // `OK` in the head of a response that continues.
        (
            || {
                let mut response = Script::new().messages(1).respond();
                response.headers_mut().insert("grpc-status", "0".parse().unwrap());
                Ok(response)
            },
            "OK",
            false,
            "",
        ),
        (|| Ok(trailers_only(&Status::ok(""))), "OK", false, ""),
        // A code without a message, and a malformed message.
        (
            || {
                let mut response = trailers_only(&Status::internal(""));
                response.headers_mut().insert("grpc-message", "%zz%41".parse().unwrap());
                Ok(response)
            },
            "INTERNAL",
            true,
            "%zzA",
        ),
    ];
    for side in SIDES {
        for (answer, name, server_failed, description) in cases {
            let traces = Traces::new();
            call(&traces.described(side), to_kind(STREAM), answer).await;
            let failed = match side {
                Side::Server => server_failed,
                Side::Client => name != "OK",
            };
            assert_ended(&traces.only(), side, name, failed, description);
        }
    }
    // A result that any client can cause is not a server failure.
    for (http, on_client) in
        [(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"), (StatusCode::NOT_FOUND, "UNIMPLEMENTED")]
    {
        for (side, name) in [(Side::Server, "INVALID_ARGUMENT"), (Side::Client, on_client)] {
            let traces = Traces::new();
            call(&traces.described(side), to_kind(STREAM), move || Ok(with_http(http))).await;
            assert_ended(&traces.only(), side, name, side == Side::Client, "");
        }
    }
}

fn with_http(status: StatusCode) -> Response<Script> {
    let mut response = Response::new(Script::new().data("<html>".into()));
    *response.status_mut() = status;
    response
}

#[tokio::test]
async fn a_body_that_says_its_end_with_its_last_message_ends_the_span() {
    for side in SIDES {
        let traces = Traces::new();
        let mut service = traces.described(side).layer(answers(|| {
            let mut response = Script::new().messages(2).says_end().respond();
            response.headers_mut().insert("grpc-status", "0".parse().unwrap());
            Ok(response)
        }));
        let mut body = service.call(to_kind(STREAM)).await.unwrap().into_body();
        frame(&mut body).await;
        traces.none();
        frame(&mut body).await;
        // Such a body is not polled again.
        assert_ended(&traces.only(), side, "OK", false, "");
        drop(body);
        traces.only();
    }
}

#[tokio::test]
async fn a_request_that_broke_off_is_cancelled_whatever_is_answered() {
    for side in SIDES {
        for answered in [Code::Ok, Code::Internal] {
            let traces = Traces::new();
            let broken = Script::new().messages(2).error(Status::cancelled("reset"));
            let request = to_kind(STREAM).map(|_| broken);
            call(&traces.described(side), request, move || {
                Ok(stream(1, &Status::new(answered, "")))
            })
            .await;
            // On a client, the call's own request stream has failed, and its error is the description.
            let description = if side == Side::Client { "reset" } else { "" };
            assert_ended(&traces.only(), side, "CANCELLED", side == Side::Client, description);
        }
    }
}

#[tokio::test]
async fn whoever_says_what_ended_the_call_changes_nothing_of_its_code() {
    let traces = Traces::new();
    let inner = service_fn(async |request: Request<Body>| {
        let info = tonic_call::CallInfo::of(request.extensions()).unwrap();
        info.set_ended_by(EndedBy::Deadline);
        Ok::<_, Infallible>(stream(0, &Status::ok("")))
    });
    run(traces.described(Side::Server).layer(inner), to_kind(STREAM)).await;
    assert_ended(&traces.only(), Side::Server, "OK", false, "");
}

/// The position of the recovery layer, relative to this one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Recovery {
    Inside,
    Outside,
    Nowhere,
}

const RECOVERIES: [Recovery; 3] = [Recovery::Inside, Recovery::Outside, Recovery::Nowhere];

/// The place where a call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Call,
    Future,
    /// Before the head, after the caller has left.
    FutureDrop,
    Body,
    /// In the middle of a stream, after the caller has left.
    StreamDrop,
    /// After the trailers.
    BodyDrop,
    /// In the request body, when the service reads it.
    Request,
}

fn panics_at(
    place: Place,
) -> impl Service<Request<Body>, Response = Response<Script>, Error = Infallible, Future: Send + 'static>
{
    service_fn(move |request: Request<Body>| {
        assert!(place != Place::Call, "in call, on purpose");
        let bomb = (place == Place::FutureDrop).then(|| PanicsInDrop);
        async move {
            let _bomb = bomb;
            assert!(place != Place::Future, "in a future, on purpose");
            if place == Place::FutureDrop {
                pending::<()>().await;
            }
            drain(request.into_body()).await;
            let script = Script::new().messages(1);
            Ok(match place {
                Place::Body => script.panic(),
                Place::StreamDrop => script.stall().panics_in_drop(),
                Place::BodyDrop => script.trailers(Code::Ok).panics_in_drop(),
                _ => script.trailers(Code::Ok),
            }
            .respond())
        }
    })
}

/// Runs a call like an HTTP server, and catches panics outside all layers.
fn drive<S, B>(mut service: S, request: Request<Script>)
where
    S: Service<Request<Script>, Response = Response<B>>,
    B: http_body::Body,
{
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(cx) else { return };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(cx) {
            if frame.is_trailers() {
                return;
            }
        }
    }));
}

fn panicked(traces: &Traces, side: Side, recovery: Recovery, place: Place) -> SpanData {
    silence_panics();
    let layer = traces.described(side);
    let recovering = match side {
        Side::Server => RecoveryLayer::server(),
        Side::Client => RecoveryLayer::client(),
    };
    let service = panics_at(place);
    let request = to_kind(STREAM).map(|body| match place {
        Place::Request => Script::new().panic(),
        _ => body,
    });
    match recovery {
        Recovery::Inside => drive(layer.layer(recovering.layer(service)), request),
        Recovery::Outside => drive(recovering.layer(layer.layer(service)), request),
        Recovery::Nowhere => drive(layer.layer(service), request),
    }
    traces.take_only()
}

#[test]
fn a_panic_is_an_error_once_wherever_it_is_and_whoever_recovers_it() {
    for side in SIDES {
        let traces = Traces::new();
        for recovery in RECOVERIES {
            for place in [Place::Call, Place::Future, Place::Body, Place::Request] {
                let span = panicked(&traces, side, recovery, place);
                let case = format!("{side:?} {place:?} {recovery:?}");
                assert_eq!(code(&span), "INTERNAL", "{case}");
                assert_eq!(text(&span, "error.type").as_deref(), Some("INTERNAL"), "{case}");
                // The span status never contains the panic message: only the exception does.
                let SpanStatus::Error { description } = &span.status else { panic!("{case}") };
                assert!(["", "internal error"].contains(&&**description), "{case}: {description}");
                assert!(span.events.events.is_empty(), "{case}");
            }
        }
    }
}

#[test]
fn a_panic_after_the_end_changes_nothing_of_the_span() {
    for side in SIDES {
        let traces = Traces::new();
        for recovery in RECOVERIES {
            let span = panicked(&traces, side, recovery, Place::BodyDrop);
            assert_ended(&span, side, "OK", false, "");
        }
    }
}

#[test]
fn a_panic_in_dropping_an_unfinished_call_loses_no_span() {
    for side in SIDES {
        let traces = Traces::new();
        for recovery in RECOVERIES {
            for place in [Place::FutureDrop, Place::StreamDrop] {
                let span = panicked(&traces, side, recovery, place);
                let name = code(&span);
                // A panic that no inner layer recovered ends the call.
                let expected = match recovery {
                    Recovery::Inside => "CANCELLED",
                    _ => "INTERNAL",
                };
                assert_eq!(name, expected, "{side:?} {place:?} {recovery:?}");
                assert_eq!(span.span_kind == SpanKind::Server, side == Side::Server);
            }
        }
    }
}

#[tokio::test]
async fn a_request_body_that_panics_in_another_task_is_an_error() {
    silence_panics();
    let traces = Traces::new();
    let inner = service_fn(async |request: Request<Body>| {
        tokio::spawn(drain(request.into_body())).await.unwrap_err();
        Ok::<_, Infallible>(stream(0, &Status::ok("")))
    });
    let request = to_kind(MethodKind::ClientStream).map(|_| Script::new().messages(1).panic());
    run(traces.client().layer(inner), request).await;
    assert_ended(&traces.only(), Side::Client, "INTERNAL", true, "");
}

/// Over a real socket, on both sides: handlers and streams that panic, hang or are abandoned.
#[tokio::test]
async fn over_a_socket_every_call_is_one_span_on_each_side() {
    silence_panics();
    for recovery in RECOVERIES {
        let (servers, clients) = (Traces::new(), Traces::new());
        let recorder = Recorder::new();
        let (incoming, endpoint) = listen();
        let service = KindsService::default();
        let kinds = KindsServer::new(service.clone());
        let server = Server::builder().layer(ObserveLayer::server(recorder.clone()));
        let layer = servers.described(Side::Server);
        match recovery {
            Recovery::Inside => {
                let mut server = server.layer(layer).layer(RecoveryLayer::server());
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
            Recovery::Outside => {
                let mut server = server.layer(RecoveryLayer::server()).layer(layer);
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
            Recovery::Nowhere => {
                let mut server = server.layer(layer);
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
        }
        let channel = endpoint.connect().await.unwrap();
        let mut kinds = KindsClient::new(clients.client().layer(channel));
        for act in [Act::PanicInHandler, Act::Panic, Act::Unspecified] {
            for kind in KINDS {
                let outcome = call_kind(&mut kinds, kind, ask(act, 2), &[]).await;
                assert!(!outcome.message.contains("on purpose"), "{outcome:?}");
            }
        }
        // A stream whose caller leaves after the first message.
        let asked = Ask { notes: 1, ..ask(Act::Hang, 1) };
        let mut notes = kinds.server_stream(asked).await.unwrap().into_inner();
        notes.message().await.unwrap();
        drop(notes);
        recorder.until_ended(13).await;
        let (seen, sent) = (servers.until_ended(13).await, clients.until_ended(13).await);
        let count =
            |spans: &[SpanData], name: &str| spans.iter().filter(|span| code(span) == name).count();
        assert_eq!((seen.len(), sent.len()), (13, 13), "{recovery:?}");
        assert_eq!(count(&seen, "INTERNAL"), 8, "{recovery:?}");
        assert_eq!(count(&seen, "OK"), 4, "{recovery:?}");
        assert_eq!(count(&seen, "CANCELLED"), 1, "{recovery:?}");
        assert_eq!(count(&sent, "OK"), 4, "{recovery:?}");
        service.until_alive(0).await;
    }
}
