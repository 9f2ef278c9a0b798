//! Number of allocations per call.
#![allow(clippy::unwrap_used)]

mod common;

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Request, Response, Uri};
use tonic::transport::server::TcpConnectInfo;
use tonic_call::{CallInfo, Side};
use tonic_call_test_kit::Script;
use tonic_ratelimit_layer::{InFlight, Key, Limits, Quota, RateLimitLayer, Rule};
use tower::{Layer as _, Service, service_fn};

fn inner() -> impl Service<
    Request<tonic::body::Body>,
    Response = Response<Script>,
    Error = Infallible,
    Future = std::future::Ready<Result<Response<Script>, Infallible>>,
> + Clone {
    service_fn(|_: Request<tonic::body::Body>| ready(Ok(Script::new().respond())))
}

fn request() -> Request<tonic::body::Body> {
    // Shared, as behind another layer that has read it.
    static URI: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/test.v1.Kinds/Unary"));
    let mut request = Request::new(tonic::body::Body::empty());
    *request.uri_mut() = URI.clone();
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.1, 10.0.0.2"));
    headers.insert("x-tenant", HeaderValue::from_static("acme"));
    let remote_addr = Some("10.0.0.1:4711".parse().unwrap());
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    CallInfo::get_or_insert(Side::Server, request.extensions_mut()).set_principal("ann");
    request
}

/// Number of allocations of a call that passes, and number of bytes that it does not free.
fn count<S>(service: &mut S) -> (u64, i64)
where
    S: Service<Request<tonic::body::Body>, Error = Infallible>,
{
    let mut once = || {
        let request = request();
        let counted = allocation_counter::measure(|| {
            let mut response = pin!(service.call(request));
            let poll = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(poll, Poll::Ready(Ok(_))));
        });
        (counted.count_total, counted.bytes_current)
    };
    once();
    once()
}

fn added(limits: impl Into<Limits>) -> u64 {
    let bare = count(&mut inner());
    let builder = RateLimitLayer::server(limits).behind(["10.0.0.0/8"]);
    let layer = builder.methods(&common::methods()).build().unwrap();
    let layered = count(&mut layer.layer(inner()));
    assert_eq!(layered.1, bare.1, "it leaves something behind");
    layered.0 - bare.0
}

fn quotas() -> [Quota; 4] {
    let quota = |calls| Quota::per_second(calls);
    [
        quota(1_000),
        quota(1_001).by(Key::peer()),
        quota(1_002).by(Key::principal()).per_method(),
        quota(1_003).by(Key::metadata("x-tenant")).cost_by(|_, _| 2),
    ]
}

#[test]
fn k01_a_call_that_passes_its_quotas_costs_none() {
    assert_eq!(added(Limits::none()), 0);
    for quota in quotas() {
        assert_eq!(added(quota), 0);
    }
    assert_eq!(added(quotas()), 0);
    let function = Key::function(|rpc, head| Some((rpc.full().len(), head.headers.len())));
    assert_eq!(added(Quota::per_second(1_000).by(function)), 0);
}

#[test]
fn k02_a_limit_in_flight_costs_one() {
    assert_eq!(added(InFlight::new(10)), 1);
    let several: Rule = [InFlight::new(10), InFlight::new(10).by(Key::peer())].into();
    assert_eq!(added(several.and(InFlight::new(10).by(Key::principal()))), 1);
}

#[test]
fn k03_a_hook_and_a_shadow_that_refuses_nothing_cost_none() {
    let bare = count(&mut inner());
    let layer = RateLimitLayer::server(quotas().map(Quota::shadow)).methods(&common::methods());
    let layer = layer.on_decision(|decision| assert!(decision.reason().is_none())).build().unwrap();
    assert_eq!(count(&mut layer.layer(inner())).0, bare.0);
}
