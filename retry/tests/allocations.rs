//! Number of allocations per call.
// The figures are printed, because the page contains them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use tonic::Code;
use tonic::body::Body;
use tonic_call_test_kit::Script;
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::{Layer as _, Service};

/// A channel that reads its request, and answers at once.
#[derive(Clone)]
struct Channel;

impl Service<Request<Body>> for Channel {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        read(request.into_body());
        ready(Ok(Script::new().messages(1).trailers(Code::Ok).respond()))
    }
}

/// Reads a body that is always ready.
fn read(body: impl http_body::Body) {
    let mut body = pin!(body);
    while now(poll_fn(|cx| body.as_mut().poll_frame(cx))).is_some() {}
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn request(timeout: Option<&'static str>) -> Request<Body> {
    static URI: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/a.B/C"));
    let message = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
    let mut request = Request::new(Body::new(message));
    *request.uri_mut() = URI.clone();
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        headers.insert("grpc-timeout", HeaderValue::from_static(timeout));
    }
    request
}

/// How many allocations a call makes, of all its parts. It leaves none behind.
fn allocated<S, B>(service: &mut S, timeout: Option<&'static str>) -> u64
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
{
    let mut call = || {
        allocation_counter::measure(|| {
            assert!(now(poll_fn(|cx| service.poll_ready(cx))).is_ok());
            read(now(service.call(request(timeout))).unwrap().into_body());
        })
    };
    call();
    let counted = call();
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0));
    counted.count_total
}

/// How many allocations the layer adds to a call.
fn added(config: &str, timeout: Option<&'static str>) -> u64 {
    let layer = RetryLayer::new(&ServiceConfig::from_json(config).unwrap());
    let bare = allocated(&mut Channel, timeout);
    allocated(&mut layer.layer(Channel), timeout) - bare
}

const POLICY: &str = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
    "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]
}}]}"#;

#[test]
fn a_call_that_is_not_retried_costs_few_allocations() {
    let none = added("{}", None);
    let policy = added(POLICY, None);
    println!("without a policy {none}, with a policy {policy}");
    assert_eq!((none, policy), (9, 9), "the page has these figures");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_costs_a_timer_and_a_header() {
    let (none, deadline) = (added(POLICY, None), added(POLICY, Some("1S")));
    println!("with a deadline {}", deadline - none);
    assert_eq!(deadline - none, 3, "the page has this figure");
}
