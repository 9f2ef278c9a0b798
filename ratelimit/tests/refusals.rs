//! What callers and operators see of a refusal. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Called, Hand, Lines, UNARY, Who, call, passes, path, peer, principal};
use http::{Request, StatusCode};
use tonic::Code;
use tonic_call::{EndedBy, Refusal};
use tonic_call_test_kit::Script;
use tonic_ratelimit_layer::{InFlight, Key, Quota, RateLimitBuilder, RateLimitLayer, Reason, Rule};
use tower::{Layer as _, Service as _, service_fn};

const SECOND: Duration = Duration::from_secs(1);

fn built(rule: impl Into<Rule>) -> (RateLimitBuilder, Hand) {
    let hand = Hand::default();
    (RateLimitLayer::server(rule.into()).with_clock(hand.clock()), hand)
}

/// A call that is in flight until this is dropped.
fn running(layer: &RateLimitLayer) -> impl Sized + use<> {
    let service = service_fn(|_: Request<tonic::body::Body>| {
        ready(Ok::<_, tonic::Status>(Script::new().stall().respond()))
    });
    common::now(layer.layer(service).call(Who::default().request())).unwrap()
}

/// The first refused call.
fn refused(layer: &RateLimitLayer, from: &Who<'_>) -> Called {
    passes(layer, from);
    call(layer, from)
}

#[test]
fn c01_a_refusal_is_exactly_this() {
    let quota = Quota::per_second(5).burst(10).by(Key::principal()).named("per \"caller\"");
    let (builder, hand) = built(quota);
    let layer = builder.domain("orders.example").build().unwrap();
    passes(&layer, &principal("ann"));
    hand.advance(Duration::from_nanos(1));
    let called = call(&layer, &principal("ann"));

    assert_eq!(called.http, StatusCode::OK);
    assert_eq!(
        (called.code, &*called.message),
        (Code::ResourceExhausted, "too many calls, try again in 200 ms")
    );
    let mut names: Vec<_> = called.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-type",
            "grpc-message",
            "grpc-retry-pushback-ms",
            "grpc-status",
            "grpc-status-details-bin",
            "ratelimit",
            "ratelimit-policy",
        ]
    );
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("grpc-status", "8"),
        ("grpc-retry-pushback-ms", "200"),
        ("ratelimit-policy", r#""per \"caller\"";q=10;w=2"#),
        ("ratelimit", r#""per \"caller\"";r=0;t=1"#),
    ] {
        assert_eq!(called.header(name), Some(value), "{name}");
    }

    let info = called.details.error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("RATE_LIMITED", "orders.example"));
    assert_eq!(
        Vec::from_iter(&info.metadata),
        [(&"limit".to_owned(), &"per \"caller\"".to_owned())]
    );
    assert_eq!(called.wait(), Some(Duration::from_nanos(199_999_999)));
    let violations = &called.details.quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1);
    let violation = &violations[0];
    assert_eq!(violation.subject, "principal");
    assert_eq!(violation.description, "5 calls per second, 10 at once");
    assert_eq!(violation.quota_metric, "calls");
    assert_eq!(violation.quota_id, "per \"caller\"");
    assert_eq!(violation.quota_value, 10);
    assert!(violation.quota_dimensions.is_empty() && violation.api_service.is_empty());
    assert!(called.details.debug_info().is_none() && called.details.bad_request().is_none());
}

#[test]
fn c02_a_pushback_is_never_early_and_never_longer_than_ten_seconds() {
    for (wait, pushback, message) in [
        (Duration::from_nanos(100), "1", "1 ms"),
        (Duration::from_millis(1), "1", "1 ms"),
        (Duration::from_nanos(1_000_001), "2", "2 ms"),
        (SECOND * 10, "10000", "10000 ms"),
        (SECOND * 10 + Duration::from_nanos(1), "-1", "11 s"),
        (SECOND * 3_600, "-1", "3600 s"),
    ] {
        let (builder, _) = built(Quota::every(wait));
        let called = refused(&builder.build().unwrap(), &Who::default());
        called.is_limited_for(wait);
        assert_eq!(called.header("grpc-retry-pushback-ms"), Some(pushback), "{wait:?}");
        assert_eq!(called.message, format!("too many calls, try again in {message}"));
    }
}

#[test]
fn c03_a_request_that_is_not_grpc_gets_no_200() {
    let (builder, _) = built(Quota::every(Duration::from_millis(2_500)));
    let layer = builder.build().unwrap();
    passes(&layer, &Who::default());
    for kind in [None, Some("application/json"), Some("text/plain"), Some("application/x-grpc")] {
        let called = call(&layer, &Who { content_type: kind, ..Who::default() });
        assert_eq!(called.http, StatusCode::TOO_MANY_REQUESTS, "{kind:?}");
        assert_eq!(called.header("retry-after"), Some("3"));
        assert_eq!(called.header("ratelimit"), Some(r#""1/2.5s:global";r=0;t=3"#));
        called.is_limited_for(Duration::from_millis(2_500));
    }
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
        let called = call(&layer, &Who { content_type: Some(kind), ..Who::default() });
        assert_eq!((called.http, called.header("retry-after")), (StatusCode::OK, None), "{kind}");
    }
    // A call that can never pass has no retry delay.
    let costs = Quota::per_second(1).cost_by(|_, _| 2);
    let (builder, _) = built(costs);
    let called = call(&builder.build().unwrap(), &Who { content_type: None, ..Who::default() });
    assert_eq!((called.http, called.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None));
}

#[test]
fn c04_all_limits_that_refuse_are_named_and_no_others() {
    let (builder, _) = built([
        Quota::per_second(1).named("a").by(Key::peer()),
        Quota::per_second(100).named("b"),
        Quota::per_minute(1).named("c").by(Key::principal()),
    ]);
    let called =
        refused(&builder.build().unwrap(), &Who { peer: Some("192.0.2.1"), ..principal("ann") });
    called.is_limited_for(SECOND * 60);
    assert_eq!(called.header("ratelimit-policy"), Some(r#""a";q=1;w=1, "c";q=1;w=60"#));
    assert_eq!(called.header("ratelimit"), Some(r#""a";r=0;t=1, "c";r=0;t=60"#));
    let violations = &called.details.quota_failure().unwrap().violations;
    let named = violations.iter().map(|violation| (&*violation.quota_id, &*violation.subject));
    assert_eq!(named.collect::<Vec<_>>(), [("a", "peer"), ("c", "principal")]);
    assert_eq!(called.header("grpc-retry-pushback-ms"), Some("-1"));
}

#[test]
fn c05_never_is_longer_than_any_wait() {
    let dear = Quota::per_second(1).cost_by(|rpc, _| if rpc.method() == "Unary" { 1 } else { 2 });
    for rule in
        [[dear.clone().named("dear"), Quota::per_hour(1)], [Quota::per_hour(1), dear.named("dear")]]
    {
        let (builder, hand) = built(rule);
        let layer = builder.build().unwrap();
        passes(&layer, &path(UNARY));
        hand.advance(SECOND);
        let called = call(&layer, &path("/test.v1.Kinds/Peek"));
        called.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
        assert_eq!((called.wait(), called.header("grpc-retry-pushback-ms")), (None, Some("-1")));
        assert!(called.message.contains("costs more"), "{}", called.message);
    }
}

#[test]
fn c06_accepted_calls_have_no_fields_by_default() {
    let (builder, _) = built(Quota::per_second(5));
    let called = call(&builder.build().unwrap(), &Who::default());
    called.passed();
    assert_eq!((called.header("ratelimit"), called.header("ratelimit-policy")), (None, None));
}

#[test]
fn c07_accepted_calls_have_fields_if_set() {
    let (builder, hand) = built([
        Quota::per_second(5).burst(10).by(Key::principal()),
        Quota::per_minute(600).named("all"),
        Quota::per_second(1).named("shadow").shadow(),
    ]);
    let layer = builder.fields_on_accepted().build().unwrap();
    let called = call(&layer, &principal("ann"));
    called.passed();
    let policy = r#""5/s:principal";q=10;w=2, "all";q=600;w=60"#;
    assert_eq!(called.header("ratelimit-policy"), Some(policy));
    assert_eq!(called.header("ratelimit"), Some(r#""5/s:principal";r=9;t=1, "all";r=599;t=1"#));
    for _ in 0..8 {
        call(&layer, &principal("ann")).passed();
    }
    hand.advance(Duration::from_millis(100));
    let called = call(&layer, &principal("ann"));
    assert_eq!(called.header("ratelimit"), Some(r#""5/s:principal";r=0;t=2, "all";r=591;t=1"#));
    assert_eq!(
        call(&layer, &principal("ann")).header("ratelimit"),
        Some(r#""5/s:principal";r=0;t=1"#)
    );
    assert_eq!(
        call(&layer, &principal("bob")).header("ratelimit"),
        Some(r#""5/s:principal";r=9;t=1, "all";r=590;t=1"#)
    );
}

#[test]
fn c08_the_fields_are_in_the_head_and_not_in_the_trailers() {
    let (builder, _) = built((Quota::per_second(5), InFlight::new(7)));
    let layer = builder.fields_on_accepted().build().unwrap();
    let mut service = tower::Layer::layer(&layer, common::Inner::default());
    let response =
        common::now(tower::Service::call(&mut service, Who::default().request())).unwrap();
    let policy = r#""5/s:global";q=5;w=1, "in-flight:global";q=7;qu="concurrent-requests""#;
    assert_eq!(response.headers()["ratelimit-policy"], policy);
    assert_eq!(response.headers()["ratelimit"], r#""5/s:global";r=4;t=1, "in-flight:global";r=6"#);
    let body = common::now(http_body_util::BodyExt::collect(response.into_body())).unwrap();
    let trailers = body.trailers().unwrap();
    assert_eq!(trailers.len(), 1, "{trailers:?}");
}

#[test]
fn c09_a_method_without_limits_has_no_fields() {
    let layer = RateLimitLayer::server(tonic_ratelimit_layer::Limits::none());
    let called = call(&layer.fields_on_accepted().build().unwrap(), &Who::default());
    called.passed();
    assert_eq!(called.headers.len(), 1, "{:?}", called.headers);
    // A layer with only a shadow limit has none either.
    let (builder, _) = built(Quota::per_second(1).shadow());
    let called = call(&builder.fields_on_accepted().build().unwrap(), &Who::default());
    assert_eq!(called.headers.len(), 1, "{:?}", called.headers);
}

#[test]
fn c10_the_call_info_has_the_refusal_and_its_reason() {
    let (builder, _) =
        built([Quota::per_second(1).by(Key::peer()), Quota::per_second(1).named("tried").shadow()]);
    let called = refused(&builder.build().unwrap(), &peer("192.0.2.1"));
    let refusals =
        [Refusal::shadow("ratelimit", "RATE_LIMITED"), Refusal::new("ratelimit", "RATE_LIMITED")];
    assert_eq!(called.refusals, refusals);
    assert_eq!(called.field("ratelimit.limit").unwrap(), "Text(\"1/s:peer\")");
    assert_eq!(called.field("ratelimit.key").unwrap(), "Text(\"peer\")");
    assert_eq!(called.field("ratelimit.wait_ms").unwrap(), "Unsigned(1000)");
    let headers = http::HeaderMap::new();
    let end = tonic_call::End::Status { code: Code::ResourceExhausted, headers: &headers };
    assert_eq!(called.info.ended_by(&end), EndedBy::Refusal { by: "ratelimit" });
}

type Told = (&'static str, Option<Reason>, bool, String, &'static str, u32, Option<Duration>);

#[test]
fn c11_the_hook_gets_each_decision() {
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let hook = Arc::clone(&told);
    let (builder, hand) = built([
        Quota::per_second(10).burst(2).named("tight").by(Key::peer()),
        Quota::per_second(10).burst(9).named("wide"),
        Quota::per_second(1).named("tried").shadow(),
    ]);
    let builder = builder.on_decision(move |decision| {
        assert_eq!(decision.rpc().full(), "test.v1.Kinds/Unary");
        assert_eq!(decision.peer().unwrap().ip().unwrap().to_string(), "192.0.2.1");
        hook.lock().unwrap().push((
            decision.result(),
            decision.reason(),
            decision.is_shadow(),
            decision.limit().to_owned(),
            decision.key(),
            decision.remaining(),
            decision.wait(),
        ));
    });
    let layer = builder.build().unwrap();
    for _ in 0..3 {
        call(&layer, &peer("192.0.2.1"));
        hand.advance(Duration::from_millis(20));
    }
    let limited = Some(Reason::RateLimited);
    let (tight, tried) = ("tight".to_owned(), "tried".to_owned());
    assert_eq!(
        *told.lock().unwrap(),
        [
            ("passed", None, false, tight.clone(), "peer", 1, None),
            (
                "RATE_LIMITED",
                limited,
                true,
                tried.clone(),
                "global",
                0,
                Some(Duration::from_millis(980))
            ),
            ("passed", None, false, tight.clone(), "peer", 0, None),
            ("RATE_LIMITED", limited, true, tried, "global", 0, Some(Duration::from_millis(960))),
            ("RATE_LIMITED", limited, false, tight, "peer", 0, Some(Duration::from_millis(60))),
        ]
    );
}

#[test]
fn c12_the_hook_does_not_get_calls_without_a_limit() {
    let layer = RateLimitLayer::server(tonic_ratelimit_layer::Limits::none());
    let layer = layer.on_decision(|_| panic!("there was nothing to decide")).build().unwrap();
    let lines = Lines::default();
    let collecting = lines.collect();
    call(&layer, &Who::default()).passed();
    drop(collecting);
    assert_eq!(lines.text(), "");
}

#[test]
fn c13_a_hook_that_panics_changes_nothing() {
    tonic_call_test_kit::silence_panics();
    let (builder, _) = built(Quota::per_second(1));
    let layer = builder.on_decision(|_| panic!("in a hook, on purpose")).build().unwrap();
    let lines = Lines::default();
    let collecting = lines.collect();
    call(&layer, &Who::default()).passed();
    call(&layer, &Who::default()).is_limited_for(SECOND);
    drop(collecting);
    assert_eq!(lines.text().matches("ERROR").count(), 2, "{}", lines.text());
}

#[test]
fn c14_each_refusal_is_an_event_that_is_off_by_default() {
    let (builder, _) = built(Quota::per_second(1).by(Key::peer()));
    let layer = builder.build().unwrap();
    let lines = Lines::default();
    let collecting = lines.collect();
    for _ in 0..2 {
        call(&layer, &Who { path: "/a.B/C", ..peer("192.0.2.1") });
    }
    drop(collecting);
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in
        ["DEBUG", "refused", "rpc.method=\"a.B/C\"", "RATE_LIMITED", "1/s:peer", "wait_ms=1000"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("192.0.2.1"), "{text}");
}

#[test]
fn c15_two_layers_report_their_own_limits() {
    let quota = |name: &str| Quota::per_second(2).named(name);
    let (outer, _) = built(quota("outer"));
    let (inner, _) = built(quota("inner").burst(1));
    let (outer, inner) =
        (outer.fields_on_accepted().build().unwrap(), inner.fields_on_accepted().build().unwrap());
    let through =
        tower::Layer::layer(&outer, tower::Layer::layer(&inner, common::Inner::default()));
    let send = |from: Who<'_>| {
        let response =
            common::now(tower::Service::call(&mut through.clone(), from.request())).unwrap();
        let lines = response.headers().get_all("ratelimit").iter();
        let lines: Vec<_> = lines.map(|line| line.to_str().unwrap().to_owned()).collect();
        lines.join(" | ")
    };
    assert_eq!(send(Who::default()), r#""inner";r=0;t=1 | "outer";r=1;t=1"#);
    assert_eq!(send(Who::default()), r#""inner";r=0;t=1 | "outer";r=0;t=1"#);
    assert_eq!(send(Who::default()), r#""outer";r=0;t=1"#);
}

#[test]
fn c16_which_limit_is_named_does_not_depend_on_how_they_are_written() {
    let short = || Rule::from(Quota::every(SECOND).named("short"));
    let long = || Rule::from(Quota::every(SECOND * 5).named("long"));
    let full = || Rule::from(InFlight::new(1).named("full").retry_after(SECOND * 7));
    for rule in [
        short().and(full()).and(long()),
        short().and(long()).and(full()),
        long().and(full()).and(short()),
        full().and(short()).and(long()),
    ] {
        let layer = RateLimitLayer::server(rule).with_clock(Hand::default().clock());
        let layer = layer.build().unwrap();
        let running = running(&layer);
        let called = call(&layer, &Who::default());
        assert_eq!(called.details.error_info().unwrap().metadata["limit"], "long");
        assert_eq!(called.wait(), Some(SECOND * 7), "who waits for the last has waited for all");
        drop(running);
    }
}

#[test]
fn c17_a_shadow_leaves_nothing_on_the_line_of_a_real_refusal() {
    let shadow = Quota::per_hour(1).named("tried").shadow();
    let layer = RateLimitLayer::server((shadow, Quota::every(SECOND).cost_by(|_, _| 2)));
    let layer = layer.with_clock(Hand::default().clock()).build().unwrap();
    let dear = call(&layer, &Who::default());
    assert_eq!(dear.field("ratelimit.shadow"), None);
    let shadow = Quota::per_hour(1).named("tried").shadow();
    let layer = RateLimitLayer::server((shadow, InFlight::new(1)));
    let layer = layer.with_clock(Hand::default().clock()).build().unwrap();
    let running = running(&layer);
    let called = call(&layer, &Who::default());
    assert_eq!(called.field("ratelimit.shadow").unwrap(), "Text(\"tried\")");
    assert_eq!(called.field("ratelimit.limit").unwrap(), "Text(\"in-flight:global\")");
    assert_eq!(called.field("ratelimit.wait_ms"), None, "not known");
    drop(running);
}
