use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request as HttpRequest;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::time::timeout;
use tonic::Code::{DeadlineExceeded, Internal, Ok, ResourceExhausted, Unauthenticated};
use tonic::Request;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic_auth_layer::{
    AuthLayer, Failure, Identity, Outcome, Reason, authenticate_async, authenticate_fn,
};
use tonic_call::BoxChannel;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Lines, ask, methods, silence_panics};
use tonic_connect_layer::ConnectLayer;
use tonic_deadline_layer::DeadlineLayer;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_ratelimit_layer::{Key, Quota, RateLimitLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_tracing_layer::TracingLayer;
use tower::ServiceExt as _;

use crate::finished::{Counted, Finished};
use crate::{code, kinds, with_token};

/// The calls of "bad" are refused; any other token is the name of its caller. Counts what it has verified.
fn auth(verified: &Arc<AtomicUsize>) -> AuthLayer {
    let verified = Arc::clone(verified);
    let by_token = authenticate_fn(move |call| {
        verified.fetch_add(1, Ordering::SeqCst);
        match call.bearer()? {
            None => Result::Ok(None),
            Some("bad") => Err(Failure::new(Reason::TokenInvalid, "token")),
            Some(name) => Result::Ok(Some(Identity::new("token").with_subject(name))),
        }
    });
    AuthLayer::new(by_token).build().unwrap()
}

/// One call each, and then none for an hour.
fn one_each(key: Key) -> RateLimitLayer {
    RateLimitLayer::server(Quota::per_hour(1).by(key)).build().unwrap()
}

fn from_address(mut request: Request<Ask>) -> Request<Ask> {
    let remote_addr = Some(SocketAddr::from(([192, 0, 2, 1], 4_711)));
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    request
}

#[tokio::test]
async fn observers_inside_auth_do_not_see_what_it_refuses() {
    let auth = auth(&Arc::default());
    let (finished, counted) = (Finished::default(), Counted::by(MetricsLayer::server()));
    let logging = finished.by(LoggingLayer::server());

    let outside = channel![counted.layer, logging, auth => kinds()];
    assert_eq!(code(&outside, with_token(Act::Unspecified, "bad")).await, Unauthenticated);
    assert_eq!((finished.take(), counted.finished()), (vec![Unauthenticated], 1.0));

    let inside = channel![auth, counted.layer, logging => kinds()];
    assert_eq!(code(&inside, with_token(Act::Unspecified, "bad")).await, Unauthenticated);
    assert_eq!((finished.take(), counted.finished()), (vec![], 1.0));
}

#[tokio::test]
async fn the_line_of_a_start_outside_tracing_has_no_trace_id() {
    let provider = SdkTracerProvider::builder().build();
    let tracing = TracingLayer::server().with_tracer_provider(&provider);
    let logging = LoggingLayer::server().starts(tracing::Level::INFO);
    for (channel, at_the_start) in [
        (channel![tracing, logging => kinds()], true),
        (channel![logging, tracing => kinds()], false),
    ] {
        let lines = Lines::default();
        let collecting = lines.collect();
        assert_eq!(code(&channel, Request::new(ask(Act::Unspecified, 0))).await, Ok);
        drop(collecting);
        let text = lines.text();
        let has_trace = |message| {
            let line = text.lines().find(|line| line.contains(message)).unwrap();
            line.contains("trace_id=")
        };
        assert_eq!(has_trace("started call"), at_the_start, "{text}");
        assert!(has_trace("finished call"), "{text}");
    }
}

/// A call that panics ends alike for observers in each order; the message is there only if they are outside.
#[tokio::test]
async fn recovery_outside_the_log_loses_the_callers_message_but_not_the_line() {
    silence_panics();
    let logging = LoggingLayer::server();
    let recovery = RecoveryLayer::server();
    for (channel, has_message) in [
        (channel![logging, recovery => kinds()], true),
        (channel![recovery, logging => kinds()], false),
    ] {
        let lines = Lines::default();
        let collecting = lines.collect();
        assert_eq!(code(&channel, Request::new(ask(Act::Panic, 0))).await, Internal);
        drop(collecting);
        let text = lines.text();
        let line = text.lines().find(|line| line.contains("finished call")).unwrap();
        assert!(line.contains("INTERNAL") && line.contains("\"panic\""), "{line}");
        assert_eq!(line.contains("internal error"), has_message, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_inside_auth_does_not_end_a_verification_that_hangs() {
    let hangs = AuthLayer::new(authenticate_async(|_| pending::<Outcome>())).build().unwrap();
    let deadlines = DeadlineLayer::server().default(Duration::from_secs(1)).methods(&methods());
    let call = || Request::new(ask(Act::Unspecified, 0));

    let outside = channel![deadlines, hangs => kinds()];
    assert_eq!(code(&outside, call()).await, DeadlineExceeded);

    let inside = channel![hangs, deadlines => kinds()];
    let an_hour = Duration::from_secs(3_600);
    assert!(timeout(an_hour, code(&inside, call())).await.is_err(), "it has ended");
}

#[tokio::test]
async fn a_limit_by_address_inside_auth_lets_bad_tokens_be_verified_without_a_limit() {
    let limits = || one_each(Key::peer());
    let bad = || from_address(with_token(Act::Unspecified, "bad"));

    let verified = Arc::default();
    let outside = channel![limits(), auth(&verified) => kinds()];
    assert_eq!(code(&outside, bad()).await, Unauthenticated);
    assert_eq!(code(&outside, bad()).await, ResourceExhausted);
    assert_eq!(verified.load(Ordering::SeqCst), 1);

    let verified = Arc::default();
    let inside = channel![auth(&verified), limits() => kinds()];
    for _ in 0..2 {
        assert_eq!(code(&inside, bad()).await, Unauthenticated);
    }
    assert_eq!(verified.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_limit_by_caller_outside_auth_is_one_limit_for_all_callers() {
    let auth = auth(&Arc::default());
    let limits = || one_each(Key::principal());
    let ann = || with_token(Act::Unspecified, "ann");
    let bob = || with_token(Act::Unspecified, "bob");

    let inside = channel![auth, limits() => kinds()];
    assert_eq!([code(&inside, ann()).await, code(&inside, bob()).await], [Ok, Ok]);
    assert_eq!(code(&inside, ann()).await, ResourceExhausted);

    let outside = channel![limits(), auth => kinds()];
    let codes = [code(&outside, ann()).await, code(&outside, bob()).await];
    assert_eq!(codes, [Ok, ResourceExhausted]);
}

/// The HTTP status and the body of a call in JSON.
async fn in_json(channel: BoxChannel, message: &'static str) -> (u16, String) {
    let request = HttpRequest::post("/test.v1.Kinds/Unary")
        .header("content-type", "application/json")
        .header("connect-timeout-ms", "500")
        .body(Body::new(Full::from(message)))
        .unwrap();
    let response = channel.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn auth_outside_connect_refuses_without_an_error_in_json() {
    let auth = auth(&Arc::default());
    let connect = ConnectLayer::new(FILE_DESCRIPTOR_SET).unwrap();

    let (status, body) = in_json(channel![connect, auth => kinds()], "{}").await;
    assert_eq!(status, 401);
    assert!(body.contains("\"code\":\"unauthenticated\""), "{body}");

    let (status, body) = in_json(channel![auth, connect => kinds()], "{}").await;
    assert_eq!((status, body.as_str()), (401, ""));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_outside_connect_does_not_see_the_callers_timeout() {
    let deadlines = DeadlineLayer::server();
    let connect = ConnectLayer::new(FILE_DESCRIPTOR_SET).unwrap();
    let hang = r#"{"act": "ACT_HANG"}"#;

    let (status, _) = in_json(channel![connect, deadlines => kinds()], hang).await;
    assert_eq!(status, 504);

    let outside = in_json(channel![deadlines, connect => kinds()], hang);
    assert!(timeout(Duration::from_secs(3_600), outside).await.is_err(), "it has ended");
}
