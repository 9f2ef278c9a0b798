//! A stream ends when the credentials of its caller expire. Each test is a rule.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::Notify;
use tonic::Code;
use tonic_auth_layer::{
    Auth, AuthBuilder, AuthLayer, Identity, Verdict, WallClock, authenticate_fn,
};
use tonic_call::{CallInfo, End, EndedBy, Methods, Refusal, Side};
use tonic_call_test_kit::Script;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::common::{self, UNARY, clock, request};

const STREAM: &str = "/test.v1.Kinds/ServerStream";

/// Identifies every caller for this many seconds.
fn known_for(seconds: u64) -> (AuthBuilder, WallClock) {
    let (clock, start) = clock();
    let at = start + Duration::from_secs(seconds);
    let known =
        authenticate_fn(move |_| Identity::new("test").with_subject("x").with_expires_at(at));
    (AuthLayer::new(known).with_clock(clock.clone()).end_streams_at_expiry(), clock)
}

fn methods() -> Methods {
    Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET).unwrap()
}

/// A service whose stream sends one message and then stalls, and that notifies when it is dropped.
#[derive(Clone)]
struct Stalls(Arc<Notify>);

fn stalls(dropped: Arc<Notify>) -> Stalls {
    Stalls(dropped)
}

impl Service<Request<tonic::body::Body>> for Stalls {
    type Response = Response<Guarded>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Guarded>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        let script = Script::new().message(b"hi").stall();
        ready(Ok(script.respond().map(|script| Guarded(script, Dropped(self.0.clone())))))
    }
}

struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Guarded(Script, #[allow(dead_code)] Dropped);

impl http_body::Body for Guarded {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, tonic::Status>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

fn code(headers: &HeaderMap) -> Code {
    Code::from_bytes(headers["grpc-status"].as_bytes())
}

async fn called<S>(
    mut service: Auth<S>,
    path: &str,
) -> (CallInfo, <Auth<S> as Service<Request<common::Untouched>>>::Response)
where
    Auth<S>: Service<Request<common::Untouched>, Error = Infallible>,
{
    let mut request = request(path, &[]);
    let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    (info, service.ready().await.unwrap().call(request).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn e01_a_stream_ends_unauthenticated_when_the_credentials_expire() {
    let (builder, _) = known_for(60);
    let dropped = Arc::new(Notify::new());
    let layer = builder.build().unwrap();
    let (_, response) = called(layer.layer(stalls(dropped)), STREAM).await;
    let began = tokio::time::Instant::now();
    let ended = response.into_body().collect().await.unwrap();
    let trailers = ended.trailers().unwrap();
    assert_eq!(code(trailers), Code::Unauthenticated);
    assert!(trailers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    assert!(trailers.contains_key("grpc-status-details-bin"));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(60) && took < Duration::from_millis(60_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn e02_also_while_its_caller_reads_nothing() {
    let (builder, _) = known_for(60);
    let dropped = Arc::new(Notify::new());
    let layer = builder.build().unwrap();
    let (info, response) = called(layer.layer(stalls(dropped.clone())), STREAM).await;
    // The body is not polled, and the inner body is dropped nevertheless.
    dropped.notified().await;
    assert_eq!(info.refusals(), [Refusal::new("auth", "TOKEN_EXPIRED")]);
    let dropped = End::Dropped { responded: true, cause: tonic_call::Cause::CallerLeft };
    assert_eq!(info.ended_by(&dropped), EndedBy::Refusal { by: "auth" });
    assert!(info.fields().iter().any(|(key, _)| key == "auth.check"));
    let trailers = response.into_body().collect().await.unwrap();
    assert_eq!(code(trailers.trailers().unwrap()), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn e03_also_before_its_head() {
    let (builder, _) = known_for(60);
    let hangs = service_fn(|_: Request<tonic::body::Body>| {
        pending::<Result<Response<Script>, Infallible>>()
    });
    let (_, response) = called(builder.build().unwrap().layer(hangs), STREAM).await;
    assert_eq!(code(response.headers()), Code::Unauthenticated);
    assert!(response.body().is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn e04_a_call_that_ends_before_leaves_no_timer_behind() {
    let (builder, _) = known_for(60);
    let ended = Arc::new(Mutex::new(0));
    let count = Arc::clone(&ended);
    let layer = builder
        .on_decision(move |decision| {
            *count.lock().unwrap() += usize::from(decision.verdict() == Verdict::Ended);
        })
        .build()
        .unwrap();
    let handle = tokio::runtime::Handle::current();
    let before = handle.metrics().num_alive_tasks();
    let (info, response) = called(layer.layer(stalls(Arc::default())), STREAM).await;
    assert_eq!(handle.metrics().num_alive_tasks(), before + 1);
    drop(response);
    tokio::task::yield_now().await;
    assert_eq!(handle.metrics().num_alive_tasks(), before);

    // Also for a call that is dropped before its response head.
    let hangs = service_fn(|_: Request<tonic::body::Body>| {
        pending::<Result<Response<Script>, Infallible>>()
    });
    let response = layer.layer(hangs).call(request(STREAM, &[]));
    assert_eq!(handle.metrics().num_alive_tasks(), before + 1);
    drop(response);
    tokio::task::yield_now().await;
    assert_eq!(handle.metrics().num_alive_tasks(), before);

    tokio::time::advance(Duration::from_secs(120)).await;
    tokio::task::yield_now().await;
    assert_eq!((info.refusals(), *ended.lock().unwrap()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn e05_the_hook_is_told_once() {
    let (builder, _) = known_for(60);
    let ended = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&ended);
    let layer = builder
        .on_decision(move |decision| {
            told.lock().unwrap().push((decision.verdict(), decision.result()));
        })
        .build()
        .unwrap();
    let dropped = Arc::new(Notify::new());
    let (_, response) = called(layer.layer(stalls(dropped)), STREAM).await;
    response.into_body().collect().await.unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    let told = ended.lock().unwrap().clone();
    assert_eq!(told, [(Verdict::Passed, "passed"), (Verdict::Ended, "TOKEN_EXPIRED")]);
}

#[tokio::test(start_paused = true)]
async fn e06_a_method_known_to_be_unary_goes_on() {
    for (described, path, ends) in [
        (true, UNARY, false),
        (true, STREAM, true),
        (true, "/test.v1.Kinds/ClientStream", true),
        (true, "/test.v1.Kinds/BidiStream", true),
        (false, UNARY, true),
    ] {
        let (builder, _) = known_for(60);
        let builder = if described { builder.methods(&methods()) } else { builder };
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let layer = builder.build().unwrap();
        let (_, response) = called(layer.layer(stalls(Arc::default())), path).await;
        let after = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(after - before, usize::from(ends), "{path}");
        drop(response);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn e07_by_default_a_stream_goes_on() {
    let (clock, start) = clock();
    let at = start + Duration::from_secs(60);
    let known = authenticate_fn(move |_| Identity::new("test").with_expires_at(at));
    let layer = AuthLayer::new(known).with_clock(clock).build().unwrap();
    let (info, response) = called(layer.layer(stalls(Arc::default())), STREAM).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(!response.body().is_end_stream());
    assert_eq!(info.refusals(), []);
}

#[tokio::test(start_paused = true)]
async fn e08_a_shadow_only_tells() {
    let (builder, _) = known_for(60);
    let told = Arc::new(Notify::new());
    let notify = Arc::clone(&told);
    let layer = builder
        .shadow()
        .on_decision(move |decision| {
            if decision.verdict() == Verdict::Ended {
                assert!(decision.is_shadow());
                notify.notify_one();
            }
        })
        .build()
        .unwrap();
    let (info, response) = called(layer.layer(stalls(Arc::default())), STREAM).await;
    told.notified().await;
    assert_eq!(info.refusals(), [Refusal::shadow("auth", "TOKEN_EXPIRED")]);
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
}

#[tokio::test(start_paused = true)]
async fn e09_a_clock_that_is_set_back_gives_no_less_and_one_set_forward_no_more() {
    let (_, start) = clock();
    let shown = Arc::new(Mutex::new(start));
    let now = Arc::clone(&shown);
    let at = start + Duration::from_secs(3_600);
    let known = authenticate_fn(move |_| Identity::new("test").with_expires_at(at));
    let layer = AuthLayer::new(known)
        .with_clock(WallClock::new(move || *now.lock().unwrap()))
        .end_streams_at_expiry()
        .build()
        .unwrap();
    let dropped = Arc::new(Notify::new());
    let (_, response) = called(layer.layer(stalls(dropped.clone())), STREAM).await;
    // An hour has passed by the timer, but not by the clock: the token has not expired.
    let early = tokio::time::timeout(Duration::from_secs(3_700), dropped.notified()).await;
    assert!(early.is_err());
    // A clock that is set forward is noticed within minutes, not after the remaining hour.
    *shown.lock().unwrap() = at;
    let late = tokio::time::timeout(Duration::from_secs(301), dropped.notified()).await;
    assert!(late.is_ok());
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn e10_a_far_expiry_is_no_trouble() {
    let (clock, start) = clock();
    for seconds in [1_u64 << 40, 1 << 55] {
        let Some(at) = start.checked_add(Duration::from_secs(seconds)) else { continue };
        let known = authenticate_fn(move |_| Identity::new("test").with_expires_at(at));
        let layer = AuthLayer::new(known)
            .with_clock(clock.clone())
            .end_streams_at_expiry()
            .build()
            .unwrap();
        let (info, response) = called(layer.layer(stalls(Arc::default())), STREAM).await;
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(info.refusals(), []);
        drop(response);
    }
}

#[tokio::test(start_paused = true)]
async fn e11_a_call_that_is_over_is_not_ended_again_though_its_body_is_still_there() {
    let (builder, _) = known_for(60);
    let ended = Arc::new(Mutex::new(0));
    let count = Arc::clone(&ended);
    let layer = builder
        .on_decision(move |decision| {
            *count.lock().unwrap() += usize::from(decision.verdict() == Verdict::Ended);
        })
        .build()
        .unwrap();
    let ends = service_fn(|_: Request<tonic::body::Body>| {
        ready(Ok::<_, Infallible>(Script::new().message(b"hi").trailers(Code::Ok).respond()))
    });
    let (info, response) = called(layer.layer(ends), STREAM).await;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
    let handle = tokio::runtime::Handle::current();
    while handle.metrics().num_alive_tasks() > 0 {
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!((info.refusals(), *ended.lock().unwrap()), (vec![], 0));
    assert!(info.fields().is_empty(), "its log line says of no check that it failed: {info:?}");
    drop(body);
}

/// Records the fields of the call's log line when it is dropped.
struct Asks(Arc<Mutex<Option<CallInfo>>>, Arc<Mutex<Vec<String>>>);

impl Drop for Asks {
    fn drop(&mut self) {
        let info = self.0.lock().unwrap().clone().unwrap();
        let fields = info.fields().into_iter().map(|(key, value)| format!("{key}={value:?}"));
        self.1.lock().unwrap().extend(fields);
    }
}

#[tokio::test(start_paused = true)]
async fn e12_what_is_inside_finds_the_check_in_the_log_line_when_it_is_ended() {
    let (builder, _) = known_for(60);
    let (slot, seen) = (Arc::default(), Arc::default());
    let asks = Arc::new(Asks(Arc::clone(&slot), Arc::clone(&seen)));
    let service = service_fn(move |_: Request<tonic::body::Body>| {
        let asks = Arc::clone(&asks);
        async move {
            let _asks = asks;
            pending::<Result<Response<Script>, Infallible>>().await
        }
    });
    let service = builder.build().unwrap().layer(service);
    let mut request = request(STREAM, &[]);
    *slot.lock().unwrap() = Some(CallInfo::get_or_insert(Side::Server, request.extensions_mut()));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(code(response.headers()), Code::Unauthenticated);
    assert_eq!(*seen.lock().unwrap(), [r#"auth.check=Text("expiry")"#]);
}
