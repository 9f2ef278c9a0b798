//! The reports of a panic to the caller, the handler and the call's info, for payloads of any type.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tonic_call::{CallInfo, Cut, EndedBy, ObserveLayer};
use tonic_call_test_kit::{PanicsInDrop, Recorder, Script, silence_panics};
use tonic_recovery_layer::{Place, Recover, RecoveryLayer, ResponseBody};
use tower::{Layer as _, Service as _, service_fn};

type Answer = Response<ResponseBody<Script>>;

fn request() -> Request<Script> {
    Request::post("/a.B/C").body(Script::new()).unwrap()
}

async fn call(layer: RecoveryLayer, panics: impl Fn() + Clone + Send + 'static) -> Answer {
    silence_panics();
    let mut service = layer.layer(service_fn(async |_: Request<tonic::body::Body>| {
        panics();
        Ok::<_, Infallible>(Script::new().respond())
    }));
    service.call(request()).await.unwrap()
}

/// The message that the handler gets for a payload.
async fn seen(panics: impl Fn() + Clone + Send + 'static) -> String {
    let seen = Arc::new(Mutex::new(None));
    let handler = Arc::clone(&seen);
    let layer = RecoveryLayer::server().with_handler(move |panic| {
        *handler.lock().unwrap() = Some(panic.message().to_owned());
        Status::internal("fixed")
    });
    let response = call(layer, panics).await;
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["grpc-message"], "fixed");
    seen.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn a_payload_of_any_type_has_a_message() {
    assert_eq!(seen(|| panic!("on purpose")).await, "on purpose");
    assert_eq!(seen(|| panic!("{} on purpose", 7)).await, "7 on purpose");
    assert_eq!(seen(|| panic_any(Cow::Borrowed("a cow"))).await, "a cow");
    assert_eq!(seen(|| panic_any(Box::<str>::from("a box"))).await, "a box");
    assert_eq!(seen(|| panic_any(Arc::<str>::from("an arc"))).await, "an arc");
    assert!(seen(|| panic_any(Status::data_loss("a status"))).await.contains("a status"));
    let error = || panic_any(Box::<dyn std::error::Error + Send + Sync>::from("an error"));
    assert_eq!(seen(error).await, "an error");
    assert_eq!(seen(|| panic_any(7_u8)).await, "a payload that is not text");
}

#[tokio::test]
async fn a_handler_sees_the_payload_itself() {
    struct OutOfStock;

    let layer = RecoveryLayer::server().with_handler(|panic| {
        assert!(panic.payload().is::<OutOfStock>());
        Status::resource_exhausted("out of stock")
    });
    let response = call(layer, || panic_any(OutOfStock)).await;
    assert_eq!(response.headers()["grpc-status"], "8");
}

#[tokio::test]
async fn the_caller_never_sees_the_text_of_a_panic() {
    let response = call(RecoveryLayer::server(), || panic!("password=hunter2 on purpose")).await;
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["grpc-message"], "internal%20error");
    assert!(!format!("{response:?}").contains("hunter2"));
    assert!(http_body::Body::is_end_stream(response.body()), "the head is the whole answer");
}

#[tokio::test]
async fn a_payload_that_panics_when_dropped_is_caught() {
    struct PanicsWithAnother;

    impl Drop for PanicsWithAnother {
        fn drop(&mut self) {
            panic_any(PanicsInDrop);
        }
    }

    for panics in [|| panic_any(PanicsInDrop), || panic_any(PanicsWithAnother)] {
        let response = call(RecoveryLayer::server(), panics).await;
        assert_eq!(response.headers()["grpc-status"], "13");
    }
}

#[tokio::test]
async fn after_a_handler_that_panics_or_returns_ok_the_default_status_is_sent() {
    let panics = RecoveryLayer::server().with_handler(|_| panic!("in the handler, on purpose"));
    let says_ok = RecoveryLayer::server().with_handler(|_| Status::ok("fine"));
    for layer in [panics, says_ok] {
        let response = call(layer, || panic!("on purpose")).await;
        assert_eq!(response.headers()["grpc-status"], "13");
        assert_eq!(response.headers()["grpc-message"], "internal%20error");
    }
}

#[tokio::test]
async fn a_body_that_panics_after_messages_ends_with_trailers() {
    silence_panics();
    let mut service = RecoveryLayer::server().layer(service_fn(async |_| {
        Ok::<_, Infallible>(Script::new().messages(2).panic().panics_in_drop().respond())
    }));
    let mut request = request();
    let info = CallInfo::get_or_insert(tonic_call::Side::Server, request.extensions_mut());
    let mut body = service.call(request).await.unwrap().into_body();
    for _ in 0..2 {
        assert!(body.frame().await.unwrap().unwrap().is_data());
    }
    assert!(info.panic().is_none());
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(Code::from_bytes(trailers["grpc-status"].as_bytes()), Code::Internal);
    assert!(body.frame().await.is_none());
    assert_eq!(info.panic().as_deref(), Some("in a body, on purpose"));
}

#[tokio::test]
async fn a_panic_in_drop_while_another_unwinds_does_not_abort() {
    silence_panics();
    let mut service = RecoveryLayer::server().layer(service_fn(async |_| {
        Ok::<_, Infallible>(Script::new().stall().panics_in_drop().respond())
    }));
    let body = service.call(request()).await.unwrap().into_body();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _dropped_while_unwinding = body;
        panic!("outside, on purpose");
    }));
    assert!(unwound.is_err());
}

#[tokio::test]
async fn a_payload_whose_display_panics_is_still_reported() {
    #[derive(Debug)]
    struct Hostile;

    impl std::fmt::Display for Hostile {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in a text, on purpose");
        }
    }

    impl std::error::Error for Hostile {}

    let hostile = || panic_any(Box::<dyn std::error::Error + Send + Sync>::from(Hostile));
    assert_eq!(seen(hostile).await, "a payload that is not text");
}

/// A body that panics in every method.
struct Ignorant;

impl http_body::Body for Ignorant {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        panic!("in a body, on purpose");
    }

    fn is_end_stream(&self) -> bool {
        panic!("in is_end_stream, on purpose");
    }

    fn size_hint(&self) -> http_body::SizeHint {
        panic!("in size_hint, on purpose");
    }
}

#[tokio::test]
async fn a_panic_in_is_end_stream_or_size_hint_is_reported_by_the_next_poll() {
    silence_panics();
    let mut service = RecoveryLayer::server()
        .layer(service_fn(async |_| Ok::<_, Infallible>(Response::new(Ignorant))));
    let response = service.call(request()).await.unwrap();
    // tonic wraps every response body like this.
    let body = tonic::body::Body::new(response.into_body());
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "13");
}

/// Never ready.
#[derive(Clone)]
struct NotReady;

impl tower::Service<Request<tonic::body::Body>> for NotReady {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        panic_any(PanicsInDrop)
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test]
async fn a_panic_in_poll_ready_is_reported_even_if_no_call_follows() {
    silence_panics();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = Arc::clone(&seen);
    let layer = RecoveryLayer::server().with_handler(move |panic| {
        handler.lock().unwrap().push((panic.place(), panic.rpc().is_some()));
        Status::internal("")
    });
    let mut service = layer.layer(NotReady);
    let ready = |service: &mut Recover<NotReady>| {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = tower::Service::<Request<Script>>::poll_ready(service, &mut cx);
        assert!(matches!(polled, Poll::Ready(Ok(()))));
    };
    ready(&mut service);
    ready(&mut service);
    assert_eq!(service.call(request()).await.unwrap().headers()["grpc-status"], "13");
    ready(&mut service);
    drop(service);
    let poll_ready = |called| (Place::PollReady, called);
    let expected = [poll_ready(false), poll_ready(true), poll_ready(false)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// A future that answers, and panics when it is dropped.
struct AnswersThenPanics(Option<Script>, #[allow(dead_code)] PanicsInDrop);

impl Future for AnswersThenPanics {
    type Output = Result<Response<Script>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(self.0.take().unwrap().respond()))
    }
}

fn answers_then_panics(_: Request<tonic::body::Body>) -> AnswersThenPanics {
    AnswersThenPanics(Some(Script::new().messages(1).trailers(Code::NotFound)), PanicsInDrop)
}

#[tokio::test]
async fn a_panic_in_the_destructor_of_a_finished_future_does_not_lose_the_answer() {
    silence_panics();
    let cut = tower::layer::layer_fn(|mut inner: tower::util::ServiceFn<fn(_) -> _>| {
        service_fn(move |request| Cut::around(inner.call(request), None).1)
    });
    let answers: fn(Request<tonic::body::Body>) -> AnswersThenPanics = answers_then_panics;
    let calls = Recorder::new();
    let observed = ObserveLayer::server(calls.clone()).layer(service_fn(answers));
    let bare = read(RecoveryLayer::server().layer(service_fn(answers))).await;
    let observed = read(RecoveryLayer::server().layer(observed)).await;
    let cut = read(RecoveryLayer::server().layer(cut.layer(service_fn(answers)))).await;
    for (code, info) in [bare, observed, cut] {
        assert_eq!(code, Code::NotFound);
        assert_eq!(info.panic().as_deref(), Some("in drop, on purpose"));
    }
    let call = calls.only();
    assert_eq!((call.code, call.by), (Code::NotFound, EndedBy::Service), "no panic ended it");
}

/// The code in the trailers of a call, and the call's info.
async fn read<S, B>(mut service: S) -> (Code, CallInfo)
where
    S: tower::Service<Request<Script>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error = Status>,
{
    let mut request = request();
    let info = CallInfo::get_or_insert(tonic_call::Side::Server, request.extensions_mut());
    let response = service.call(request).await.unwrap();
    let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
    (Code::from_bytes(trailers["grpc-status"].as_bytes()), info)
}

#[tokio::test]
async fn a_body_that_panics_twice_behind_a_cut_is_recovered() {
    silence_panics();
    let mut service = RecoveryLayer::server().layer(service_fn(|_: Request<tonic::body::Body>| {
        let script = Script::new().messages(1).panic().panics_in_drop();
        Cut::around(std::future::ready(Ok::<_, Infallible>(script.respond())), None).1
    }));
    let body = service.call(request()).await.unwrap().into_body();
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "13");
}
