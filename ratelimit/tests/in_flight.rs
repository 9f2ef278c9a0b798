//! How many calls are in flight, and when a call has ended. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Called, Hand, Inner, Who, call, methods, now, path, peer, principal};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use tonic::{Code, Status};
use tonic_call::Refusal;
use tonic_call_test_kit::{PanicsInDrop, Script, silence_panics};
use tonic_ratelimit_layer::{
    InFlight, Key, Limits, Quota, RateLimitLayer, ResponseBody, ResponseFuture,
};
use tower::{Layer as _, Service as _, service_fn};

fn built(limits: impl Into<Limits>) -> RateLimitLayer {
    let builder = RateLimitLayer::server(limits).methods(&methods()).fields_on_accepted();
    builder.with_clock(Hand::default().clock()).build().unwrap()
}

/// A call through a layer, with that response of the service.
fn begin<F, A>(
    layer: &RateLimitLayer,
    from: &Who<'_>,
    answer: A,
) -> impl Future<Output = Result<Response<ResponseBody<Script>>, Status>> + use<F, A>
where
    A: FnOnce() -> F + Clone,
    F: Future<Output = Result<Response<Script>, Status>>,
{
    let service = service_fn(move |_: Request<tonic::body::Body>| answer.clone()());
    layer.layer(service).call(from.request())
}

/// A call whose response head has arrived.
fn answered(layer: &RateLimitLayer, from: &Who<'_>) -> Response<ResponseBody<Script>> {
    let answer = || std::future::ready(Ok(Script::new().message(b"hi").stall().respond()));
    now(begin(layer, from, answer)).unwrap()
}

fn is_refused<B>(response: &Response<B>) -> bool {
    response.headers().contains_key("grpc-status")
}

/// The number of calls in flight under a limit of 10.
fn in_flight(layer: &RateLimitLayer) -> u32 {
    let called = call(layer, &Who::default());
    let left = called.header("ratelimit").unwrap().rsplit("r=").next().unwrap();
    // The call that reads it has ended.
    9 - left.parse::<u32>().unwrap()
}

fn of_ten() -> RateLimitLayer {
    built(InFlight::new(10))
}

#[test]
fn e01_one_call_more_than_the_limit_is_refused() {
    let layer = built(InFlight::new(3));
    let mut running: Vec<_> = (0..3).map(|_| answered(&layer, &Who::default())).collect();
    assert!(!running.iter().any(is_refused));
    for _ in 0..5 {
        call(&layer, &Who::default()).is_refused(Code::Unavailable, "OVERLOADED");
    }
    running.pop();
    running.push(answered(&layer, &Who::default()));
    assert!(!running.iter().any(is_refused));
    call(&layer, &Who::default()).is_refused(Code::Unavailable, "OVERLOADED");
    drop(running);
    assert_eq!(common::passes(&layer, &Who::default()), 10_000);
}

#[test]
fn e02_a_call_is_in_flight_before_its_head_too() {
    let layer = of_ten();
    let waiting = begin(&layer, &Who::default(), std::future::pending);
    assert_eq!(in_flight(&layer), 1);
    let mut polled = Box::pin(begin(&layer, &Who::default(), std::future::pending));
    assert!(polled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(in_flight(&layer), 2);
    drop((waiting, polled));
    assert_eq!(in_flight(&layer), 0);
}

fn next(body: &mut ResponseBody<Script>) -> Poll<Option<bool>> {
    let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    frame.map(|frame| frame.map(|frame| frame.is_ok_and(|frame| frame.is_trailers())))
}

#[test]
fn e03_a_call_is_not_in_flight_when_its_caller_has_the_trailers() {
    let layer = of_ten();
    let script = || Script::new().message(b"a").pending().message(b"b").trailers(Code::NotFound);
    let answer = move || std::future::ready(Ok(script().respond()));
    let mut body = now(begin(&layer, &Who::default(), answer)).unwrap().into_body();
    for frame in [Poll::Ready(Some(false)), Poll::Pending, Poll::Ready(Some(false))] {
        assert_eq!(in_flight(&layer), 1);
        assert_eq!(next(&mut body), frame);
    }
    assert_eq!(in_flight(&layer), 1);
    assert_eq!(next(&mut body), Poll::Ready(Some(true)));
    assert_eq!(in_flight(&layer), 0);
    drop(body);
    assert_eq!(in_flight(&layer), 0);
}

#[test]
fn e04_a_call_that_has_ended_in_any_way_is_not_in_flight() {
    let layer = of_ten();
    let ends: [fn() -> Script; 5] = [
        Script::new,
        || Script::new().message(b"a"),
        || Script::new().message(b"a").says_end(),
        || Script::new().message(b"a").error(Status::data_loss("lost")),
        || Script::new().trailers(Code::Ok),
    ];
    for (number, script) in ends.into_iter().enumerate() {
        let answer = move || std::future::ready(Ok(script().respond()));
        let mut body = now(begin(&layer, &Who::default(), answer)).unwrap().into_body();
        assert_eq!(in_flight(&layer), 1, "{number}");
        while !body.is_end_stream() && matches!(next(&mut body), Poll::Ready(Some(_))) {}
        assert_eq!(in_flight(&layer), 0, "{number}");
    }
    // A trailers-only response.
    let answer = || std::future::ready(Ok(Status::not_found("no").into_http::<Script>()));
    let response = now(begin(&layer, &Who::default(), answer)).unwrap();
    assert!(is_refused(&response) && in_flight(&layer) == 0);
    // An error of the service.
    let answer = || std::future::ready(Err(Status::unavailable("gone")));
    let mut response = pin!(begin(&layer, &Who::default(), answer));
    assert!(response.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(in_flight(&layer), 0);
}

#[test]
fn e05_a_dropped_call_is_not_in_flight() {
    let layer = of_ten();
    let mut response = answered(&layer, &Who::default());
    assert_eq!(next(response.body_mut()), Poll::Ready(Some(false)));
    assert_eq!(next(response.body_mut()), Poll::Pending);
    assert_eq!(in_flight(&layer), 1);
    drop(response);
    assert_eq!(in_flight(&layer), 0);
    // A body that is never polled.
    drop(answered(&layer, &Who::default()));
    assert_eq!(in_flight(&layer), 0);
}

#[test]
fn e06_after_a_panic_a_call_is_not_in_flight() {
    silence_panics();
    let layer = of_ten();
    type Pending = std::future::Pending<Result<Response<Script>, Status>>;
    let in_call = catch_unwind(AssertUnwindSafe(|| {
        let panics = || -> Pending { panic!("in a call, on purpose") };
        drop(begin(&layer, &Who::default(), panics));
    }));
    assert!(in_call.is_err() && in_flight(&layer) == 0);

    let in_future = catch_unwind(AssertUnwindSafe(|| {
        let panics = || async { panic!("in a future, on purpose") };
        drop(now(begin(&layer, &Who::default(), panics)));
    }));
    assert!(in_future.is_err() && in_flight(&layer) == 0);

    let in_body = catch_unwind(AssertUnwindSafe(|| {
        let panics = || std::future::ready(Ok(Script::new().message(b"a").panic().respond()));
        let mut body = now(begin(&layer, &Who::default(), panics)).unwrap().into_body();
        while next(&mut body).is_ready() {}
    }));
    assert!(in_body.is_err() && in_flight(&layer) == 0);

    let in_drop_of_body = catch_unwind(AssertUnwindSafe(|| {
        let panics = || std::future::ready(Ok(Script::new().stall().panics_in_drop().respond()));
        drop(now(begin(&layer, &Who::default(), panics)));
    }));
    assert!(in_drop_of_body.is_err() && in_flight(&layer) == 0);

    let in_drop_of_future = catch_unwind(AssertUnwindSafe(|| {
        let panics = || async {
            let _panics = PanicsInDrop;
            std::future::pending().await
        };
        let mut future = Box::pin(begin(&layer, &Who::default(), panics));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(future);
    }));
    assert!(in_drop_of_future.is_err() && in_flight(&layer) == 0);
}

#[test]
fn e07_each_caller_has_its_own_limit_and_its_reason() {
    let layer = built(InFlight::new(2).by(Key::principal()));
    let (ann, bob) = (principal("ann"), principal("bob"));
    let running = [answered(&layer, &ann), answered(&layer, &ann)];
    let called = call(&layer, &ann);
    called.is_refused(Code::ResourceExhausted, "CONCURRENCY_LIMITED");
    assert_eq!(called.message, "too many calls at a time, try again when one of them has ended");
    assert_eq!((called.wait(), called.header("grpc-retry-pushback-ms")), (None, Some("-1")));
    let policy = r#""in-flight:principal";q=2;qu="concurrent-requests""#;
    assert_eq!(called.header("ratelimit-policy"), Some(policy));
    assert_eq!(called.header("ratelimit"), Some(r#""in-flight:principal";r=0"#));
    let violations = &called.details.quota_failure().unwrap().violations;
    let violation = &violations[0];
    assert_eq!((&*violation.subject, &*violation.description), ("principal", "2 calls at a time"));
    assert_eq!((&*violation.quota_metric, violation.quota_value), ("calls in flight", 2));
    assert_eq!(called.field("ratelimit.limit").unwrap(), "Text(\"in-flight:principal\")");
    assert_eq!(called.field("ratelimit.wait_ms"), None);
    call(&layer, &bob).passed();
    drop(running);
    call(&layer, &ann).passed();
}

#[test]
fn e08_a_full_server_has_its_own_reason() {
    let layer = built(InFlight::new(1));
    let _running = answered(&layer, &Who::default());
    let called = call(&layer, &Who::default());
    called.is_refused(Code::Unavailable, "OVERLOADED");
    assert_eq!(called.message, "the server is busy, try again later");
    assert_eq!((called.wait(), called.header("grpc-retry-pushback-ms")), (None, Some("-1")));
    let foreign = Who { content_type: None, ..Who::default() };
    let called = call(&layer, &foreign);
    assert_eq!(
        (called.http, called.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, None)
    );
}

#[test]
fn e09_the_time_to_retry_can_be_set() {
    let limit = InFlight::new(1).retry_after(Duration::from_micros(1_500_500));
    let layer = built(limit);
    let _running = answered(&layer, &Who::default());
    let called = call(&layer, &Who { content_type: None, ..Who::default() });
    assert_eq!(called.wait(), Some(Duration::from_micros(1_500_500)));
    assert_eq!(called.header("grpc-retry-pushback-ms"), Some("1501"));
    assert_eq!(called.header("retry-after"), Some("2"));
    assert_eq!(called.header("ratelimit"), Some(r#""in-flight:global";r=0;t=2"#));
}

#[test]
fn e10_a_call_refused_in_flight_takes_from_no_quota_and_the_reverse() {
    for limits in [
        (InFlight::new(1), Quota::per_second(3)).into(),
        Limits::of((Quota::per_second(3), InFlight::new(1))),
    ] {
        let layer = built(limits);
        let running = answered(&layer, &Who::default());
        for _ in 0..10 {
            call(&layer, &Who::default()).is_refused(Code::Unavailable, "OVERLOADED");
        }
        drop(running);
        for _ in 0..2 {
            call(&layer, &Who::default()).passed();
        }
        // Calls that the quota refuses are not in flight.
        let refused = || answered(&layer, &Who::default());
        let refused: Vec<_> = (0..10).map(|_| refused()).collect();
        assert!(refused.iter().all(is_refused));
        call(&layer, &Who::default()).is_limited_for(Duration::from_nanos(333_333_334));
    }
}

#[test]
fn e11_of_several_reasons_the_one_in_the_callers_control_is_reported() {
    let own = InFlight::new(1).by(Key::peer());
    let quota = Quota::per_second(1).by(Key::peer());
    let ann = peer("192.0.2.1");
    for limits in
        [Limits::of((InFlight::new(1), own.clone())), (own.clone(), InFlight::new(1)).into()]
    {
        let layer = built(limits);
        let _running = answered(&layer, &ann);
        let called = call(&layer, &ann);
        called.is_refused(Code::ResourceExhausted, "CONCURRENCY_LIMITED");
        assert_eq!(called.details.quota_failure().unwrap().violations.len(), 2);
        call(&layer, &peer("192.0.2.2")).is_refused(Code::Unavailable, "OVERLOADED");
    }
    let later = own.retry_after(Duration::from_secs(7));
    for limits in [Limits::of((later.clone(), quota.clone())), (quota, later).into()] {
        let layer = built(limits);
        let _running = answered(&layer, &ann);
        // The longest of the waits.
        call(&layer, &ann).is_limited_for(Duration::from_secs(7));
    }
}

#[test]
fn e12_a_shadow_counts_the_calls_that_it_would_allow() {
    let layer = built(InFlight::new(1).shadow());
    let reports = |called: &Called| {
        called.passed();
        called.refusals.clone()
    };
    let shadow = [Refusal::shadow("ratelimit", "OVERLOADED")];
    let first = answered(&layer, &Who::default());
    let second = answered(&layer, &Who::default());
    assert_eq!(reports(&call(&layer, &Who::default())), shadow);
    // The second call was not counted.
    drop(second);
    assert_eq!(reports(&call(&layer, &Who::default())), shadow);
    drop(first);
    assert_eq!(reports(&call(&layer, &Who::default())), []);
}

#[test]
fn e13_keys_without_room_share_one_count() {
    let limit = InFlight::new(2).by(Key::principal());
    let layer = RateLimitLayer::server(limit).max_keys(1).build().unwrap();
    let ann = [answered(&layer, &principal("ann")), answered(&layer, &principal("ann"))];
    let others = [answered(&layer, &principal("bob")), answered(&layer, &principal("eve"))];
    assert!(!ann.iter().chain(&others).any(is_refused));
    for who in ["ann", "bob", "eve", "dan"] {
        call(&layer, &principal(who)).is_refused(Code::ResourceExhausted, "CONCURRENCY_LIMITED");
    }
    // Each call is subtracted from the count that it was added to.
    drop(ann);
    let dan = [answered(&layer, &principal("dan")), answered(&layer, &principal("dan"))];
    assert!(!dan.iter().any(is_refused));
    call(&layer, &principal("ann")).is_refused(Code::ResourceExhausted, "CONCURRENCY_LIMITED");
    drop(others);
    let both = [answered(&layer, &principal("bob")), answered(&layer, &principal("ann"))];
    assert!(!both.iter().any(is_refused));
    call(&layer, &principal("eve")).is_refused(Code::ResourceExhausted, "CONCURRENCY_LIMITED");
}

#[test]
fn e14_methods_count_together_or_separately() {
    let (unary, peek) = (Who::default(), path(common::PEEK));
    let layer = built(InFlight::new(1));
    let running = answered(&layer, &unary);
    call(&layer, &peek).is_refused(Code::Unavailable, "OVERLOADED");
    drop(running);
    let layer = built(InFlight::new(1).per_method());
    let running = [answered(&layer, &unary), answered(&layer, &peek)];
    assert!(!running.iter().any(is_refused));
    call(&layer, &peek).is_refused(Code::Unavailable, "OVERLOADED");
}

#[test]
fn e15_a_service_that_is_called_twice_counts_twice() {
    let layer = built(InFlight::new(2));
    let mut service = layer.layer(Inner::default());
    let mut again = service.clone();
    let first: ResponseFuture<_> = service.call(Who::default().request());
    let second = again.call(Who::default().request());
    let refused = now(again.call(Who::default().request())).unwrap();
    assert!(is_refused(&refused));
    drop((first, second));
    assert!(!is_refused(&now(again.call(Who::default().request())).unwrap()));
}

#[test]
fn e16_without_a_limit_in_flight_nothing_is_held() {
    let layer = RateLimitLayer::server(Quota::per_second(5)).build().unwrap();
    let response = answered(&layer, &Who::default());
    assert_eq!(format!("{:?}", response.body()), "HeldBody { holds: false }");
    let layer = of_ten();
    assert_eq!(
        format!("{:?}", answered(&layer, &Who::default()).body()),
        "HeldBody { holds: true }"
    );
}
