//! Every end is reported exactly once and with the right code, on both sides, for all four kinds.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{CODES, Call, End, EndedBy, Flow, ObserveLayer, Observer, Rpc, Side};
use tonic_call_test_kit::{
    Ended, Recorded, Recorder, SIDES, Script, frame_of, in_scope, silence_panics, trailers_only,
};
use tower::{Layer as _, Service, service_fn};

/// The number of messages in each direction, for each of gRPC's four kinds.
const KINDS: [(usize, usize); 4] = [(1, 1), (3, 1), (1, 3), (3, 3)];

fn layer(side: Side, recorder: &Recorder) -> ObserveLayer<Recorder> {
    match side {
        Side::Server => ObserveLayer::server(recorder.clone()),
        Side::Client => ObserveLayer::client(recorder.clone()),
    }
}

fn request(body: Script) -> Request<Script> {
    Request::post("/test.v1.Kinds/Any").body(body).unwrap()
}

/// Reads the request to its end, as a service does, then answers.
async fn read(request: Request<Body>) {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

type Answer = Result<Response<Script>, Status>;

/// Sends a request through the layer and reads the response to its end.
async fn call(side: Side, requests: Script, answer: impl Fn() -> Answer) -> Recorded {
    let recorder = Recorder::new();
    let mut service = layer(side, &recorder).layer(service_fn(async |request| {
        read(request).await;
        answer()
    }));
    if let Ok(response) = service.call(request(requests)).await {
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.frame().await {}
    }
    recorder.only()
}

/// Runs one call of each kind on each side.
async fn each(answer: impl Fn(usize) -> Answer, check: impl Fn(usize, Recorded)) {
    for side in SIDES {
        for (requests, responses) in KINDS {
            let body = Script::new().messages(requests).pending();
            let recorded = call(side, body, || answer(responses)).await;
            assert_eq!(recorded.side, side);
            assert_eq!(recorded.rpc, "test.v1.Kinds/Any");
            assert_eq!(recorded.requests, vec![1; requests]);
            assert!(recorded.end_outside_scope);
            check(responses, recorded);
        }
    }
}

fn head(code: Code) -> Response<Script> {
    Status::new(code, "failed in the head").into_http()
}

#[tokio::test]
async fn a_status_in_trailers_is_the_ending() {
    for code in CODES {
        each(
            |responses| Ok(Script::new().messages(responses).pending().trailers(code).respond()),
            |responses, call| {
                assert_eq!((call.ended, call.code), (Ended::Status, code));
                assert_eq!((call.heads, call.responses), (1, vec![1; responses]));
                assert_eq!(call.by, EndedBy::Service);
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_status_in_the_head_is_the_ending() {
    for code in CODES {
        each(
            |_| Ok(head(code).map(|_| Script::new().says_end())),
            |_, call| {
                assert_eq!((call.ended, call.code, call.heads), (Ended::Status, code, 1));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn an_error_in_the_head_is_the_ending_and_the_body_is_ignored() {
    each(
        |responses| Ok(head(Code::NotFound).map(|_| Script::new().messages(responses))),
        |_, call| {
            assert_eq!((call.ended, call.code), (Ended::Status, Code::NotFound));
            assert!(call.responses.is_empty(), "nothing is reported after the end");
        },
    )
    .await;
}

#[tokio::test]
async fn ok_in_the_head_of_a_body_that_goes_on_waits_for_the_trailers() {
    each(
        |n| Ok(head(Code::Ok).map(|_| Script::new().messages(n).trailers(Code::DataLoss))),
        |_, call| assert_eq!((call.ended, call.code), (Ended::Status, Code::DataLoss)),
    )
    .await;
    each(
        |n| Ok(head(Code::Ok).map(|_| Script::new().messages(n))),
        |_, call| assert_eq!((call.ended, call.code), (Ended::Status, Code::Ok)),
    )
    .await;
}

#[tokio::test]
async fn a_drop_after_ok_in_the_head_is_reported() {
    for side in SIDES {
        let recorder = Recorder::new();
        let mut service = layer(side, &recorder).layer(service_fn(async |_| {
            Ok::<_, Infallible>(head(Code::Ok).map(|_| Script::new().messages(2).stall()))
        }));
        let mut body = service.call(request(Script::new())).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(recorder.only().ended, Ended::Dropped { responded: true });
        assert_eq!(recorder.only().code, Code::Cancelled);
    }
}

#[tokio::test]
async fn a_status_that_grpc_does_not_define_is_unknown() {
    for status in ["17", "-1", "00", "", "OK", "999999999999"] {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        // Bad base64 here makes tonic's own reader panic.
        trailers.insert("grpc-status-details-bin", "!".parse().unwrap());
        each(
            |n| Ok(Script::new().messages(n).trailers_of(trailers.clone()).respond()),
            |_, call| assert_eq!((call.ended, call.code), (Ended::Status, Code::Unknown)),
        )
        .await;
    }
}

#[tokio::test]
async fn a_body_that_fails_after_the_head_is_an_error() {
    each(
        |n| Ok(Script::new().messages(n).error(Status::data_loss("lost")).respond()),
        |responses, call| {
            assert_eq!((call.ended, call.code), (Ended::Error, Code::DataLoss));
            assert_eq!(call.responses.len(), responses);
        },
    )
    .await;
}

#[tokio::test]
async fn an_end_without_a_status_is_unknown() {
    let answers: [fn(usize) -> Script; 3] = [
        |n| Script::new().messages(n),
        |_| Script::new().says_end(),
        |n| Script::new().messages(n).trailers_of(HeaderMap::new()),
    ];
    for answer in answers {
        each(
            |responses| Ok(answer(responses).respond()),
            |_, call| assert_eq!((call.ended, call.code), (Ended::Missing, Code::Unknown)),
        )
        .await;
    }
}

#[tokio::test]
async fn a_body_that_is_at_its_end_right_after_data_is_over() {
    for side in SIDES {
        let recorder = Recorder::new();
        let mut service = layer(side, &recorder).layer(service_fn(async |_| {
            Ok::<_, Infallible>(Script::new().messages(2).says_end().respond())
        }));
        let response = service.call(request(Script::new())).await.unwrap();
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        assert_eq!(recorder.ended(), []);
        body.frame().await.unwrap().unwrap();
        // HTTP does not poll further.
        assert!(body.is_end_stream());
        assert_eq!((recorder.only().ended, recorder.only().code), (Ended::Missing, Code::Unknown));
        drop(body);
        recorder.only();
    }
}

#[tokio::test]
async fn an_http_status_without_a_grpc_status_is_mapped() {
    for (http, code) in [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (431, Code::Internal),
        (500, Code::Unknown),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
    ] {
        each(
            |_| {
                let mut response = Script::new().data("<html>".into()).respond();
                *response.status_mut() = StatusCode::from_u16(http).unwrap();
                Ok(response)
            },
            |_, call| {
                // On a server, what any client can cause is not a failure of the server.
                let (code, by) = match call.side {
                    Side::Server if http < 500 => (Code::InvalidArgument, EndedBy::Caller),
                    Side::Server => (code, EndedBy::Service),
                    Side::Client => (code, EndedBy::Transport),
                };
                assert_eq!((call.ended, call.code, call.by), (Ended::Missing, code, by), "{http}");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_service_that_fails_is_an_error() {
    each(
        |_| Err(Status::resource_exhausted("")),
        |_, call| {
            assert_eq!((call.ended, call.code), (Ended::Error, Code::ResourceExhausted));
            assert_eq!(call.heads, 0);
        },
    )
    .await;
}

#[tokio::test]
async fn a_request_that_broke_off_is_cancelled_for_any_answer_of_the_service() {
    for (requests, responses) in KINDS {
        for answer in ANSWERS {
            let broken = Script::new().messages(requests).error(Status::cancelled("reset"));
            let recorded = call(Side::Server, broken, answer).await;
            assert_eq!(recorded.code, Code::Cancelled, "{responses}");
            assert!(matches!(recorded.ended, Ended::Dropped { .. }));
            assert_eq!(recorded.by, EndedBy::Caller);
        }
    }
}

/// A layer outside that translates a protocol fails the body, and its caller waits for the answer.
#[tokio::test]
async fn a_request_that_a_layer_outside_could_not_read_ends_as_the_service_answers() {
    for (requests, _) in KINDS {
        let unread = Script::new().messages(requests).error(Status::invalid_argument("not JSON"));
        let answer = || Ok(trailers_only(&Status::invalid_argument("not JSON")));
        let recorded = call(Side::Server, unread, answer).await;
        assert_eq!((recorded.ended, recorded.code), (Ended::Status, Code::InvalidArgument));
        assert_eq!(recorded.by, EndedBy::Service);
    }
}

/// A caller sees why its own request stream failed, and so do its layers.
#[tokio::test]
async fn on_a_client_a_request_stream_that_fails_ends_with_its_own_code_and_text() {
    for (requests, _) in KINDS {
        for answer in ANSWERS {
            for code in CODES.into_iter().filter(|code| *code != Code::Ok) {
                let broken = Script::new().messages(requests);
                let broken = broken.error(Status::new(code, "message length too large"));
                let recorded = call(Side::Client, broken, answer).await;
                assert_eq!((recorded.ended, recorded.code), (Ended::Error, code));
                assert_eq!(recorded.by, EndedBy::Caller);
                assert_eq!(recorded.message.as_deref(), Some("message length too large"));
            }
        }
    }
}

const ANSWERS: [fn() -> Answer; 4] = [
    || Ok(Script::new().messages(3).trailers(Code::Ok).respond()),
    || Ok(head(Code::Internal).map(|_| Script::new().says_end())),
    || Err(Status::internal("")),
    || Ok(Script::new().respond()),
];

#[tokio::test]
async fn a_future_dropped_before_the_head_is_cancelled() {
    for side in SIDES {
        for polls in 0..2 {
            let recorder = Recorder::new();
            let mut service = layer(side, &recorder).layer(service_fn(async |_| {
                pending::<Result<Response<Script>, Infallible>>().await
            }));
            let mut response = Box::pin(service.call(request(Script::new())));
            for _ in 0..polls {
                assert!(poll_once(response.as_mut()).is_pending());
            }
            drop(response);
            let call = recorder.only();
            assert_eq!(call.ended, Ended::Dropped { responded: false });
            assert_eq!((call.code, call.by), (Code::Cancelled, EndedBy::Caller));
            assert!(call.end_outside_scope);
        }
    }
}

#[tokio::test]
async fn a_body_dropped_after_any_number_of_messages_is_cancelled() {
    for side in SIDES {
        for taken in 0..=5 {
            let recorder = Recorder::new();
            let mut service = layer(side, &recorder).layer(service_fn(async |_| {
                Ok::<_, Infallible>(Script::new().messages(5).trailers(Code::Ok).respond())
            }));
            let mut body = service.call(request(Script::new())).await.unwrap().into_body();
            for _ in 0..taken {
                body.frame().await.unwrap().unwrap();
            }
            assert_eq!(recorder.ended(), [], "not before it is dropped");
            drop(body);
            let call = recorder.only();
            assert_eq!(call.ended, Ended::Dropped { responded: true });
            assert_eq!((call.code, call.responses.len()), (Code::Cancelled, taken));
        }
    }
}

#[tokio::test]
async fn a_body_dropped_after_its_trailers_ended_with_them() {
    for side in SIDES {
        let recorder = Recorder::new();
        let mut service = layer(side, &recorder).layer(service_fn(async |_| {
            Ok::<_, Infallible>(Script::new().trailers(Code::Aborted).respond())
        }));
        let mut body = service.call(request(Script::new())).await.unwrap().into_body();
        // HTTP takes the trailers and never polls to `None`.
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!((recorder.only().ended, recorder.only().code), (Ended::Status, Code::Aborted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_whose_timeout_has_passed_or_is_about_to_is_a_deadline() {
    for (elapsed, code, by) in [
        (0, Code::Cancelled, EndedBy::Caller),
        (994, Code::Cancelled, EndedBy::Caller),
        (995, Code::DeadlineExceeded, EndedBy::Deadline),
        (1_000, Code::DeadlineExceeded, EndedBy::Deadline),
        (5_000, Code::DeadlineExceeded, EndedBy::Deadline),
    ] {
        for side in SIDES {
            for responds in [true, false] {
                let recorder = Recorder::new();
                let mut service = layer(side, &recorder).layer(service_fn(async |_| {
                    if !responds {
                        pending::<()>().await;
                    }
                    Ok::<_, Infallible>(Script::new().messages(1).stall().respond())
                }));
                let mut request = request(Script::new());
                request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
                let mut response = Box::pin(service.call(request));
                let answered = poll_once(response.as_mut());
                assert_eq!(answered.is_ready(), responds);
                tokio::time::advance(Duration::from_millis(elapsed)).await;
                drop((answered, response));

                let call = recorder.only();
                assert_eq!(call.ended, Ended::Dropped { responded: responds });
                assert_eq!((call.code, call.by), (code, by), "{side:?} after {elapsed} ms");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_sets_no_deadline() {
    let recorder = Recorder::new();
    let mut service = layer(Side::Server, &recorder)
        .layer(service_fn(async |_| pending::<Result<Response<Script>, Infallible>>().await));
    let mut request = request(Script::new());
    request.headers_mut().insert("grpc-timeout", "soon".parse().unwrap());
    drop(service.call(request));
    assert_eq!(recorder.only().code, Code::Cancelled);
}

/// The places where a call can panic.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Call,
    Future,
    FutureDrop,
    Body,
    BodyDrop,
}

/// Calls a service that panics somewhere, like an outer recovery layer: catches each panic and drops the rest
/// afterwards, when `thread::panicking()` is false.
fn panic_at(side: Side, place: Place, messages: usize, recover: bool) -> Recorded {
    silence_panics();
    let recorder = Recorder::new();
    let script = move || {
        let script = Script::new().messages(messages);
        match place {
            Place::Body => script.panic(),
            Place::BodyDrop => script.stall().panics_in_drop(),
            _ => script.stall(),
        }
    };
    let mut service = layer(side, &recorder).layer(service_fn(move |_| {
        assert!(place != Place::Call, "in call, on purpose");
        let bomb = (place == Place::FutureDrop).then(|| tonic_call_test_kit::PanicsInDrop);
        async move {
            let _bomb = bomb;
            assert!(place != Place::Future, "in a future, on purpose");
            if place == Place::FutureDrop {
                pending::<()>().await;
            }
            Ok::<_, Infallible>(script().respond())
        }
    }));
    let run = AssertUnwindSafe(|| {
        let mut response = Box::pin(service.call(request(Script::new())));
        let polled = catch_unwind(AssertUnwindSafe(|| poll_once(response.as_mut())));
        let kept = match polled {
            Ok(Poll::Ready(answer)) => {
                let mut body = Box::pin(answer.unwrap().into_body());
                let polled = catch_unwind(AssertUnwindSafe(|| {
                    let mut cx = Context::from_waker(Waker::noop());
                    while body.as_mut().poll_frame(&mut cx).is_ready() {}
                }));
                (Some(body), polled)
            }
            Ok(Poll::Pending) => (None, Ok(())),
            Err(panic) => (None, Err(panic)),
        };
        match kept {
            // Without recovery, the rest is dropped while the panic unwinds.
            (body, Err(panic)) if !recover => {
                let _left = (response, body);
                std::panic::resume_unwind(panic);
            }
            left => drop((response, left)),
        }
    });
    let _ = catch_unwind(run);
    recorder.only()
}

#[test]
fn a_panic_in_any_place_is_internal_with_and_without_recovery() {
    for side in SIDES {
        for (_, messages) in KINDS {
            for recover in [true, false] {
                for place in
                    [Place::Call, Place::Future, Place::FutureDrop, Place::Body, Place::BodyDrop]
                {
                    let call = panic_at(side, place, messages, recover);
                    let responded = matches!(place, Place::Body | Place::BodyDrop);
                    assert_eq!(call.ended, Ended::Dropped { responded }, "{place:?}");
                    assert_eq!(
                        (call.code, &call.by),
                        (Code::Internal, &EndedBy::Panic),
                        "{place:?}"
                    );
                    assert_eq!(call.responses.len(), if responded { messages } else { 0 });
                }
            }
        }
    }
}

#[tokio::test]
async fn a_request_body_that_panics_in_another_task_is_internal() {
    silence_panics();
    let recorder = Recorder::new();
    let mut service = layer(Side::Client, &recorder).layer(service_fn(async |request| {
        // As in hyper on a client: a separate task polls the body.
        let sent = tokio::spawn(async move { read(request).await });
        sent.await.unwrap_err();
        Err::<Response<Script>, _>(Status::cancelled("the stream was reset"))
    }));
    let body = Script::new().messages(2).panic();
    service.call(request(body)).await.unwrap_err();
    let call = recorder.only();
    assert_eq!((call.code, call.by, call.requests.len()), (Code::Internal, EndedBy::Panic, 2));
}

#[tokio::test]
async fn the_messages_that_a_frame_completes_are_one_batch() {
    let two_and_a_half = [frame_of(b"a"), frame_of(b"bc"), frame_of(b"def").slice(..6)].concat();
    let rest = frame_of(b"def").slice(6..);
    let nothing = frame_of(b"").slice(..3);
    let body = || {
        let body = Script::new().data(two_and_a_half.clone().into()).data(rest.clone());
        body.data(nothing.clone()).data(frame_of(b"").slice(3..)).message(b"x")
    };
    for side in SIDES {
        let ended = call(side, body(), || Ok(body().trailers(Code::Ok).respond())).await;
        let batches = [(2, 3), (1, 3), (1, 0), (1, 1)];
        for flow in [Flow::Request, Flow::Response] {
            let seen = ended.batches.iter().filter(|(of, _)| *of == flow);
            let seen: Vec<_> = seen.map(|(_, batch)| (batch.messages, batch.bytes)).collect();
            assert_eq!(seen, batches, "{side:?} {flow:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_the_observer_skips_passes_unchanged() {
    #[derive(Clone)]
    struct NotInterested;

    impl Observer for NotInterested {
        type Call = tonic_call_test_kit::RecordedCall;

        fn begin(&self, _: Side, _: &Rpc, _: &mut request::Parts) -> Option<Self::Call> {
            None
        }
    }

    let mut service = ObserveLayer::server(NotInterested).layer(service_fn(async |request| {
        read(request).await;
        Ok::<_, Infallible>(Script::new().messages(2).trailers(Code::Ok).respond())
    }));
    let response = service.call(request(Script::new().messages(2))).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
}

/// A body that records the number of scopes in which it was polled and dropped.
struct Scoped {
    frames: usize,
    seen: Arc<Mutex<Vec<(&'static str, usize)>>>,
}

impl Scoped {
    fn saw(&self, what: &'static str) {
        self.seen.lock().unwrap().push((what, in_scope()));
    }
}

impl http_body::Body for Scoped {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        self.saw("poll");
        let Some(left) = self.frames.checked_sub(1) else { return Poll::Ready(None) };
        self.frames = left;
        Poll::Ready(Some(Ok(http_body::Frame::data(frame_of(b"x")))))
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        self.saw("drop");
    }
}

#[tokio::test]
async fn everything_runs_in_the_scope_and_the_end_outside() {
    let seen = Arc::<Mutex<Vec<_>>>::default();
    let body = || Scoped { frames: 1, seen: seen.clone() };
    let (in_call, in_future) = (body(), body());
    let parts = Mutex::new(Some((in_call, in_future, body())));
    let recorder = Recorder::new();
    let mut service = layer(Side::Server, &recorder).layer(service_fn(move |request| {
        let (in_call, in_future, response) = parts.lock().unwrap().take().unwrap();
        drop(in_call);
        async move {
            read(request).await;
            drop(in_future);
            Ok::<_, Infallible>(Response::new(response))
        }
    }));
    let request = Request::post("/test.v1.Kinds/Any").body(body()).unwrap();
    let response = service.call(request).await.unwrap();
    assert_eq!(in_scope(), 0);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(in_scope(), 0);

    let seen = seen.lock().unwrap().clone();
    // In `call`; the request's frame, its end, and its drop; in the future; the response's frame,
    // and its drop.
    let what: Vec<_> = seen.iter().map(|(what, _)| *what).collect();
    assert_eq!(what, ["drop", "poll", "poll", "drop", "drop", "poll", "drop"]);
    assert!(seen.iter().all(|(_, depth)| *depth >= 1), "{seen:?}");
    assert!(recorder.only().end_outside_scope);
}

#[tokio::test]
async fn a_future_is_dropped_in_the_scope_too() {
    for polled in [false, true] {
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let held = Mutex::new(Some(Scoped { frames: 0, seen: seen.clone() }));
        let recorder = Recorder::new();
        let mut service = layer(Side::Client, &recorder).layer(service_fn(move |_| {
            let held = held.lock().unwrap().take();
            async move {
                let _held = held;
                pending::<Result<Response<Script>, Infallible>>().await
            }
        }));
        let mut response = Box::pin(service.call(request(Script::new())));
        if polled {
            assert!(poll_once(response.as_mut()).is_pending());
        }
        drop(response);
        assert_eq!(*seen.lock().unwrap(), [("drop", 1)]);
    }
}

#[tokio::test]
async fn of_two_observers_the_second_ends_first_and_inside_the_first() {
    let (outer, inner) = (Recorder::new(), Recorder::new());
    /// Records the order of the ends.
    #[derive(Clone)]
    struct Named(&'static str, Recorder, Arc<Mutex<Vec<&'static str>>>);
    struct NamedCall(Named, tonic_call_test_kit::RecordedCall);

    impl Observer for Named {
        type Call = NamedCall;

        fn begin(&self, side: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<NamedCall> {
            Some(NamedCall(self.clone(), self.1.begin(side, rpc, head)?))
        }
    }

    impl Call for NamedCall {
        fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
            self.1.scope(poll)
        }

        fn message(&self, flow: Flow, message: tonic_call::Message) {
            self.1.message(flow, message);
        }

        fn end(&self, end: End<'_>) {
            self.0.2.lock().unwrap().push(self.0.0);
            self.1.end(end);
        }
    }

    let order = Arc::<Mutex<Vec<_>>>::default();
    let pair = (
        Named("outer", outer.clone(), order.clone()),
        Named("inner", inner.clone(), order.clone()),
    );
    let mut service = ObserveLayer::server(pair).layer(service_fn(async |request| {
        read(request).await;
        Ok::<_, Infallible>(Script::new().messages(2).trailers(Code::DataLoss).respond())
    }));
    let response = service.call(request(Script::new().messages(3))).await.unwrap();
    let _ = response.into_body().collect().await.unwrap();

    assert_eq!(*order.lock().unwrap(), ["inner", "outer"]);
    let (outer, inner) = (outer.only(), inner.only());
    assert!(outer.end_outside_scope);
    assert!(!inner.end_outside_scope, "the second ends in the scope of the first");
    for call in [outer, inner] {
        assert_eq!((call.code, call.requests.len(), call.responses.len()), (Code::DataLoss, 3, 2));
    }
}

/// Adds its name to the response headers.
#[derive(Clone)]
struct Sign(&'static str);

impl Observer for Sign {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, _: &mut request::Parts) -> Option<Self> {
        Some(self.clone())
    }
}

impl Call for Sign {
    fn responded(&self, _: StatusCode, headers: &mut HeaderMap) {
        headers.append("x-signed", HeaderValue::from_static(self.0));
    }

    fn end(&self, _: End<'_>) {}
}

#[tokio::test]
async fn headers_added_by_observers_reach_the_caller_the_inner_ones_first() {
    for side in SIDES {
        let observer = (Sign("outer"), Sign("inner"));
        let layer = match side {
            Side::Server => ObserveLayer::server(observer),
            Side::Client => ObserveLayer::client(observer),
        };
        let answer = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(head(Code::NotFound)));
        let response = layer.layer(answer).call(request(Script::new())).await.unwrap();
        let signed: Vec<_> = response.headers().get_all("x-signed").iter().collect();
        assert_eq!(signed, ["inner", "outer"]);
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_and_response_may_be_polled_by_two_tasks() {
    const MESSAGES: usize = 10_000;
    for side in SIDES {
        let recorder = Recorder::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let mut service =
            layer(side, &recorder).layer(service_fn(move |request: Request<Body>| {
                let sent = sender.lock().unwrap().take().unwrap().send(request.into_body());
                async move {
                    sent.unwrap();
                    let script = Script::new().messages(MESSAGES).trailers(Code::Ok);
                    Ok::<_, Infallible>(script.respond())
                }
            }));
        let requests = Script::new().messages(MESSAGES);
        let response = service.call(request(requests)).await.unwrap();
        let mut request = receiver.await.unwrap();
        let reader = tokio::spawn(async move { while let Some(Ok(_)) = request.frame().await {} });
        let mut body = pin!(response.into_body());
        let mut frames = 0;
        while frames < MESSAGES {
            poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
            frames += 1;
        }
        // All messages are reported before the end.
        reader.await.unwrap();
        poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
        let call = recorder.only();
        assert_eq!((call.requests.len(), call.responses.len()), (MESSAGES, MESSAGES));
    }
}
