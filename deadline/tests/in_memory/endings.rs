//! Where a deadline ends a call, and what all who look at the call see of it. Time is paused.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_call::{EndedBy, MethodKind, MethodTable, ObserveLayer};
use tonic_call_test_kit::{
    KINDS, Recorded, Recorder, Script, frame, method_of, methods, poll_once, silence_panics,
};
use tonic_deadline_layer::{Deadline, DeadlineLayer};
use tower::{Layer as _, Service, ServiceBuilder, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// When a handler ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    HangsBeforeHead,
    HangsBetweenMessages,
    IsAlwaysReady,
    EndsWell,
}

/// A body that holds something, to see when it is dropped.
struct Holding {
    script: Script,
    always_ready: bool,
    _alive: Arc<()>,
}

impl Body for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.always_ready {
            let message = Bytes::from_static(b"\0\0\0\0\x01x");
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        Pin::new(&mut self.script).poll_frame(cx)
    }
}

struct Seen {
    code: Code,
    message: String,
    messages: usize,
    took: Duration,
}

/// A service with an observer on either side of the layer.
struct Observed {
    outside: Recorder,
    inside: Recorder,
    alive: Arc<()>,
    layer: DeadlineLayer,
}

impl Observed {
    fn by(layer: DeadlineLayer) -> Self {
        Self { outside: Recorder::new(), inside: Recorder::new(), alive: Arc::new(()), layer }
    }

    fn service(
        &self,
        handler: Handler,
    ) -> impl Service<
        Request<Script>,
        Response = Response<impl Body<Data = Bytes, Error = Status> + Unpin>,
        Error = Infallible,
        Future: Future + Send,
    > {
        let alive = Arc::clone(&self.alive);
        let service = service_fn(move |_: Request<tonic::body::Body>| {
            let alive = Arc::clone(&alive);
            async move {
                let script = match handler {
                    Handler::HangsBeforeHead => std::future::pending().await,
                    Handler::HangsBetweenMessages => Script::new().messages(2).stall(),
                    Handler::IsAlwaysReady => Script::new(),
                    Handler::EndsWell => Script::new().messages(1).trailers(Code::Ok),
                };
                let always_ready = handler == Handler::IsAlwaysReady;
                let body = Holding { script, always_ready, _alive: alive };
                let mut response = Response::new(body);
                let grpc = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert("content-type", grpc);
                Ok::<_, Infallible>(response)
            }
        });
        ServiceBuilder::new()
            .layer(ObserveLayer::server(self.outside.clone()))
            .layer(self.layer.clone())
            .layer(ObserveLayer::server(self.inside.clone()))
            .service(service)
    }

    async fn call(&self, kind: MethodKind, handler: Handler, timeout: Option<&str>) -> Seen {
        let began = Instant::now();
        let response = self.service(handler).call(request(kind, timeout)).await.unwrap();
        let (head, mut body) = response.into_parts();
        let mut messages = 0;
        let mut trailers = head.headers;
        if !body.is_end_stream() {
            loop {
                // A stream that is always ready is read as fast as it can be, while time goes on.
                tokio::time::advance(Duration::from_micros(100)).await;
                match frame(&mut body).await.into_trailers() {
                    Ok(last) => break trailers = last,
                    Err(_) => messages += 1,
                }
            }
        }
        let (code, message) = status(&trailers);
        Seen { code, message, messages, took: began.elapsed() }
    }

    fn both(&self) -> [Recorded; 2] {
        [self.outside.only(), self.inside.only()]
    }
}

fn request(kind: MethodKind, timeout: Option<&str>) -> Request<Script> {
    let mut request = Request::post(format!("/{}", method_of(kind))).body(Script::new()).unwrap();
    let grpc = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", grpc);
    if let Some(timeout) = timeout {
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    }
    request
}

fn status(headers: &HeaderMap) -> (Code, String) {
    let message = headers.get("grpc-message").map_or("", |message| message.to_str().unwrap());
    (Code::from_bytes(headers["grpc-status"].as_bytes()), message.replace("%20", " "))
}

#[tokio::test(start_paused = true)]
async fn a_callers_deadline_ends_a_call_of_each_kind_wherever_it_is() {
    for kind in KINDS {
        for handler in
            [Handler::HangsBeforeHead, Handler::HangsBetweenMessages, Handler::IsAlwaysReady]
        {
            let observed = Observed::by(DeadlineLayer::server());
            let seen = observed.call(kind, handler, Some("250m")).await;
            let cell = format!("{kind} {handler:?}");
            assert_eq!(seen.code, Code::DeadlineExceeded, "{cell}");
            assert_eq!(seen.message, "the caller's deadline has passed", "{cell}");
            assert!(seen.took >= Duration::from_millis(250), "{cell} {:?}", seen.took);
            assert!(seen.took <= Duration::from_millis(255), "{cell} {:?}", seen.took);
            match handler {
                Handler::HangsBeforeHead => assert_eq!(seen.messages, 0, "{cell}"),
                Handler::HangsBetweenMessages => assert_eq!(seen.messages, 2, "{cell}"),
                _ => assert!(seen.messages > 100, "{cell}"),
            }
            for recorded in observed.both() {
                assert_eq!(recorded.code, Code::DeadlineExceeded, "{cell} {recorded:?}");
                assert_eq!(recorded.by, EndedBy::Deadline, "{cell} {recorded:?}");
            }
            assert_eq!(Arc::strong_count(&observed.alive), 1, "{cell}: what the handler held");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_in_time_is_left_alone() {
    for kind in KINDS {
        for timeout in [None, Some("250m"), Some("99999999H")] {
            let observed = Observed::by(DeadlineLayer::server());
            let seen = observed.call(kind, Handler::EndsWell, timeout).await;
            assert_eq!((seen.code, seen.messages), (Code::Ok, 1), "{kind} {timeout:?}");
            for recorded in observed.both() {
                assert_eq!((recorded.code, recorded.by), (Code::Ok, EndedBy::Service));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_nothing_gets_its_status_when_it_reads_again() {
    let observed = Observed::by(DeadlineLayer::server());
    let kind = MethodKind::ServerStream;
    let response = observed.service(Handler::HangsBetweenMessages).call(request(kind, Some("1S")));
    let mut body = response.await.unwrap().into_body();
    assert!(frame(&mut body).await.is_data());
    assert_eq!(Arc::strong_count(&observed.alive), 2); // the test, and the body
    tokio::time::sleep(SECOND + Duration::from_millis(2)).await;
    assert_eq!(
        Arc::strong_count(&observed.alive),
        1,
        "the stream is dropped although nothing polls it"
    );
    assert_eq!(observed.inside.only().by, EndedBy::Deadline);
    assert!(observed.outside.ended().is_empty());
    let (code, _) = status(&frame(&mut body).await.into_trailers().unwrap());
    assert_eq!(code, Code::DeadlineExceeded);
    assert_eq!(observed.outside.only().by, EndedBy::Deadline);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_when_it_is_polled_wins_over_the_answer() {
    // As under load: the timer has not fired yet, and the handler is ready.
    let layer = DeadlineLayer::server();
    let answer = async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Ok).respond())
    };
    let answer = std::sync::Mutex::new(Some(answer));
    let mut service = layer.layer(service_fn(move |_: Request<tonic::body::Body>| {
        answer.lock().unwrap().take().unwrap()
    }));
    let mut response = Box::pin(service.call(request(MethodKind::Unary, Some("1S"))));
    assert!(poll_once(response.as_mut()).is_pending());
    tokio::time::advance(2 * SECOND).await;
    let Poll::Ready(Ok(response)) = poll_once(response.as_mut()) else { panic!("no answer") };
    assert_eq!(status(response.headers()).0, Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_before_anything_is_done_is_a_refusal_too() {
    // A stranger may send `1u` with every call.
    let observed = Observed::by(DeadlineLayer::server());
    let mut service = observed.service(Handler::EndsWell);
    let mut response = Box::pin(service.call(request(MethodKind::Unary, Some("1u"))));
    tokio::time::advance(SECOND).await;
    let Poll::Ready(Ok(response)) = poll_once(response.as_mut()) else { panic!("no answer") };
    assert_eq!(status(response.headers()).0, Code::DeadlineExceeded);
    assert_eq!(observed.outside.only().by, EndedBy::Refusal { by: "deadline" });
    assert_eq!(observed.inside.only().code, Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn the_servers_limits_bound_unary_methods_and_streams_each_by_their_own() {
    let secs = |n: u64| Duration::from_secs(n);
    let layer = DeadlineLayer::server()
        .methods(&methods())
        .default(secs(2))
        .cap(secs(5))
        .stream_cap(secs(60));
    for (kind, timeout, took, message) in [
        (MethodKind::Unary, None, secs(2), "the server's limit of 2s for this call has passed"),
        (
            MethodKind::Unary,
            Some("9S"),
            secs(5),
            "the server's limit of 5s for this call has passed",
        ),
        (MethodKind::Unary, Some("3S"), secs(3), "the caller's deadline has passed"),
        (
            MethodKind::ClientStream,
            None,
            secs(60),
            "the server's limit of 60s for this call has passed",
        ),
        (
            MethodKind::ServerStream,
            Some("90S"),
            secs(60),
            "the server's limit of 60s for this call has passed",
        ),
        (MethodKind::BidiStream, Some("9S"), secs(9), "the caller's deadline has passed"),
    ] {
        for handler in [Handler::HangsBeforeHead, Handler::HangsBetweenMessages] {
            let observed = Observed::by(layer.clone());
            let seen = observed.call(kind, handler, timeout).await;
            let cell = format!("{kind} {handler:?} {timeout:?}");
            assert_eq!(
                (seen.code, seen.message.as_str()),
                (Code::DeadlineExceeded, message),
                "{cell}"
            );
            assert_eq!(seen.took.as_secs(), took.as_secs(), "{cell}");
            for recorded in observed.both() {
                let ending = (recorded.code, recorded.by);
                assert_eq!(
                    ending,
                    (Code::DeadlineExceeded, EndedBy::Deadline),
                    "{cell} {recorded:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_or_service_has_a_limit_of_its_own() {
    let limits = MethodTable::new(Some(SECOND))
        .method("test.v1.Kinds", "Unary", Some(3 * SECOND))
        .checked(&methods())
        .unwrap();
    let layer = DeadlineLayer::server().methods(&methods()).default(limits);
    let observed = Observed::by(layer);
    let seen = observed.call(MethodKind::Unary, Handler::HangsBeforeHead, None).await;
    assert_eq!(seen.took.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn where_the_kind_is_not_known_the_servers_limits_bound_the_time_to_the_head() {
    let layer = DeadlineLayer::server().default(SECOND).cap(2 * SECOND);
    let observed = Observed::by(layer.clone());
    let seen = observed.call(MethodKind::ServerStream, Handler::HangsBeforeHead, None).await;
    assert_eq!((seen.code, seen.took.as_secs()), (Code::DeadlineExceeded, 1));

    let observed = Observed::by(layer);
    let response = observed
        .service(Handler::HangsBetweenMessages)
        .call(request(MethodKind::ServerStream, None));
    let mut body = response.await.unwrap().into_body();
    frame(&mut body).await;
    tokio::time::sleep(60 * SECOND).await;
    assert!(frame(&mut body).await.is_data());
    assert!(observed.inside.ended().is_empty());

    // The caller's holds for the whole call all the same.
    let layer = DeadlineLayer::server().default(SECOND);
    let seen = Observed::by(layer);
    let seen = seen.call(MethodKind::ServerStream, Handler::HangsBetweenMessages, Some("5S")).await;
    assert_eq!((seen.code, seen.took.as_secs()), (Code::DeadlineExceeded, 5));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_and_one_that_has_expired_are_refusals() {
    for (timeout, code, message) in [
        ("1", Code::Internal, "grpc-timeout"),
        ("123456789S", Code::Internal, "grpc-timeout"),
        ("-1S", Code::Internal, "grpc-timeout"),
        ("5 S", Code::Internal, "grpc-timeout"),
        ("0n", Code::DeadlineExceeded, "the caller's deadline"),
        ("0H", Code::DeadlineExceeded, "the caller's deadline"),
    ] {
        let observed = Observed::by(DeadlineLayer::server());
        let seen = observed.call(MethodKind::Unary, Handler::EndsWell, Some(timeout)).await;
        assert_eq!(seen.code, code, "{timeout}");
        assert!(seen.message.contains(message), "{timeout}: {}", seen.message);
        assert_eq!(observed.outside.only().by, EndedBy::Refusal { by: "deadline" }, "{timeout}");
        assert_eq!(observed.inside.begun(), 0, "{timeout}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_can_be_required() {
    let layer = DeadlineLayer::server().required(true);
    let observed = Observed::by(layer.clone());
    let seen = observed.call(MethodKind::Unary, Handler::EndsWell, None).await;
    assert_eq!(seen.code, Code::InvalidArgument);
    assert!(seen.message.contains("grpc-timeout"), "{}", seen.message);
    let seen =
        Observed::by(layer.clone()).call(MethodKind::Unary, Handler::EndsWell, Some("1S")).await;
    assert_eq!(seen.code, Code::Ok);
    // Probes have none.
    let observed = Observed::by(layer);
    let mut health = request(MethodKind::Unary, None);
    *health.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
    let response = observed.service(Handler::EndsWell).call(health).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_how_long_is_left() {
    let layer = DeadlineLayer::server();
    let mut service = layer.layer(service_fn(|request: Request<tonic::body::Body>| async move {
        let given = Deadline::of(request.extensions());
        assert_eq!(Deadline::current(), given);
        tokio::time::sleep(SECOND).await;
        assert_eq!(Deadline::current(), given);
        let spawned = tokio::spawn(async { Deadline::current() }).await.unwrap();
        assert_eq!(spawned, None);
        let left = given.map(|deadline| (deadline.remaining(), deadline.has_passed()));
        assert_eq!(left, Some((4 * SECOND, false)));
        Ok::<_, Infallible>(Script::new().trailers(Code::Ok).respond())
    }));
    service.call(request(MethodKind::Unary, Some("5S"))).await.unwrap();
    assert_eq!(Deadline::current(), None);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_handler_goes_on() {
    silence_panics();
    let layer = DeadlineLayer::server();
    let mut service = layer.layer(service_fn(|_: Request<tonic::body::Body>| async move {
        assert!(Deadline::current().is_none(), "on purpose");
        Ok::<_, Infallible>(Script::new().trailers(Code::Ok).respond())
    }));
    let call = service.call(request(MethodKind::Unary, Some("5S")));
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert_eq!(Deadline::current(), None);
}
