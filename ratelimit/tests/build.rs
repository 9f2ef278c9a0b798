//! Errors are found when a layer is built, and name what is wrong. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Hand, Lines, Who, call, methods, passes};
use tonic_ratelimit_layer::{
    BuildError, InFlight, Key, Limits, Quota, RateLimitBuilder, RateLimitLayer, Rule,
};

fn server(limits: impl Into<Limits>) -> RateLimitBuilder {
    RateLimitLayer::server(limits)
}

#[track_caller]
fn error(builder: RateLimitBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

#[test]
fn d01_what_is_impossible_is_named_with_its_rule() {
    let second = Duration::from_secs(1);
    let year = second * 3_600 * 24 * 365;
    for (rule, wrong) in [
        (Rule::from(Quota::per_second(0)), "0 calls"),
        (Quota::per_minute(0).into(), "0 calls"),
        (Quota::per_hour(0).into(), "0 calls"),
        (Quota::every(Duration::ZERO).into(), "too fast"),
        (Quota::every(Duration::from_nanos(99)).into(), "too fast"),
        (Quota::per_second(10_000_001).into(), "too fast"),
        (Quota::per_second(u32::MAX).into(), "too fast"),
        (Quota::every(Duration::MAX).into(), "too slow"),
        (Quota::every(year * 585).into(), "too slow"),
        (Quota::every(year * 11).into(), "too slow"),
        (Quota::every(year).burst(11).into(), "too slow"),
        (Quota::per_hour(1).burst(u32::MAX).into(), "too slow"),
        (Quota::per_second(5).burst(0).into(), "burst of 0"),
        (Quota::per_second(5).cost(0).into(), "cost of 0"),
        (Quota::per_second(5).cost(6).into(), "costs 6"),
        (Quota::per_second(5).named("").into(), "not printable ASCII"),
        (Quota::per_second(5).named("a\nb").into(), "not printable ASCII"),
        (Quota::per_second(5).named("größe").into(), "not printable ASCII"),
        (Quota::per_second(5).by(Key::metadata("a b")).into(), "\"a b\""),
        (Quota::per_second(5).by(Key::metadata("")).into(), "\"\""),
        (Quota::per_second(5).per_method().into(), "`methods`"),
        (InFlight::new(0).into(), "0 calls in flight"),
        (InFlight::new(1).named("\0").into(), "not printable ASCII"),
        (InFlight::new(1).by(Key::metadata("é")).into(), "\"é\""),
        (InFlight::new(1).per_method().into(), "`methods`"),
        (Quota::per_second(5).named("n".repeat(129)).into(), "more than 128 bytes"),
        ([Quota::per_second(5), Quota::per_second(5).burst(9)].into(), "the name of another"),
        ([InFlight::new(5), InFlight::new(6)].into(), "the name of another"),
        ((Quota::per_second(5).named("x"), InFlight::new(5).named("x")).into(), "of another"),
        (Rule::from(Quota::per_second(5)).and(Quota::per_second(0)), "0 calls"),
    ] {
        for (limits, of) in [
            (Limits::of(rule.clone()), "the default"),
            (Limits::none().service("a.B", rule.clone()), "a.B"),
            (Limits::none().method("a.B", "C", rule.clone()), "a.B/C"),
        ] {
            let built = server(limits.clone()).build();
            let error = built.expect_err(wrong);
            assert!(
                matches!(&error, BuildError::Limit { of: place, .. } if place == of),
                "{error:?}"
            );
            let text = error.to_string();
            assert!(text.contains(wrong) && text.contains(&format!("of {of} ")), "{text}");
            // The same for limits that replace others.
            let layer = server(Quota::per_second(1)).build().unwrap();
            assert_eq!(layer.handle().replace(limits), Err(error));
        }
    }
}

#[test]
fn d02_the_name_of_the_limit_is_in_the_error() {
    let error = error(server(Quota::per_second(5).burst(0).by(Key::peer())));
    assert_eq!(error, "the limit \"5/s:peer\" of the default lets nothing pass: a burst of 0");
}

#[test]
fn d03_what_is_possible_is_built() {
    let year = Duration::from_secs(3_600 * 24 * 365);
    for rule in [
        Rule::from(Quota::per_second(10_000_000).burst(u32::MAX)),
        Quota::per_hour(u32::MAX).into(),
        Quota::every(Duration::from_nanos(100)).into(),
        Quota::every(year * 10).into(),
        Quota::every(year).burst(10).into(),
        Quota::per_second(5).cost(5).named("~ !").into(),
        Quota::per_second(5).named("n".repeat(128)).into(),
        InFlight::new(u32::MAX).into(),
        [Quota::per_second(5), Quota::per_minute(5)].into(),
        vec![Quota::per_second(5), Quota::per_second(5).by(Key::peer())].into(),
        Rule::unlimited(),
    ] {
        let hand = Hand::default();
        let layer = server(rule).with_clock(hand.clock()).build().unwrap();
        call(&layer, &Who::default()).passed();
        // Large jumps of the clock break nothing.
        for time in [u64::MAX, 0, 1 << 62, 5] {
            hand.set(time);
            call(&layer, &Who::default());
        }
    }
}

#[test]
fn d04_a_rule_for_a_method_that_does_not_exist_is_named() {
    let rules = || server(Quota::per_second(5)).methods(&methods());
    let quota = || Quota::per_second(1);
    assert!(rules().method("test.v1.Kinds", "Unary", quota()).build().is_ok());
    assert!(rules().service("test.v1.Kinds", quota()).build().is_ok());
    for (builder, name) in [
        (rules().method("test.v1.Kinds", "Unnary", quota()), "\"test.v1.Kinds/Unnary\""),
        (rules().service("test.v1.Kind", quota()), "\"test.v1.Kind\""),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, BuildError::NeverMatches(_)));
        assert!(std::error::Error::source(&error).is_some());
        assert!(error.to_string().contains(name), "{error}");
    }
    // Also when limits are replaced.
    let handle = rules().build().unwrap().handle();
    let error = handle.replace(Limits::none().method("test.v1.Kinds", "Unnary", quota()));
    assert!(error.unwrap_err().to_string().contains("Unnary"));
    // Without a descriptor set this cannot be checked.
    assert!(server(quota()).method("test.v1.Kinds", "Unnary", quota()).build().is_ok());
}

#[test]
fn d05_other_settings_are_checked_too() {
    let any = || server(Quota::per_second(5));
    for (builder, wrong) in [
        (any().max_keys(0), "max_keys"),
        (any().domain(""), "domain \"\""),
        (any().domain("a\tb"), "printable"),
        (any().behind(["10.0.0.0/8", "proxy.local"]), "\"proxy.local\""),
        (any().behind(["10.0.0.0/33"]), "10.0.0.0/33"),
    ] {
        let error = error(builder);
        assert!(error.contains(wrong), "{error}");
    }
    assert!(any().max_keys(1).domain("a b").behind(["::1", "10.0.0.0/8"]).build().is_ok());
}

#[test]
fn d06_two_rules_for_one_method_or_service_are_an_error_that_names_it() {
    let quota = || Quota::per_second(1);
    for describe in [false, true] {
        let any = || match describe {
            true => server(quota()).methods(&methods()),
            false => server(quota()),
        };
        let method = |builder: RateLimitBuilder| builder.method("test.v1.Kinds", "Unary", quota());
        let service = |builder: RateLimitBuilder| builder.service("test.v1.Kinds", quota());
        assert!(method(service(any())).build().is_ok(), "the most exact one counts");
        let named = error(method(method(any())));
        assert!(named.contains("there are two rules for \"test.v1.Kinds/Unary\""), "{named}");
        let named = error(service(service(any())));
        assert!(named.contains("there are two rules for \"test.v1.Kinds\""), "{named}");
        // Also when limits are replaced, and if one rule comes with the `Limits`.
        let twice = || Limits::none().service("test.v1.Kinds", quota());
        assert!(service(server(twice())).build().is_err());
        let handle = any().build().unwrap().handle();
        assert!(handle.replace(twice().service("test.v1.Kinds", quota())).is_err());
        assert!(handle.replace(twice()).is_ok());
    }
}

#[test]
fn d09_a_name_that_no_call_can_have_is_an_error_with_what_was_meant() {
    let quota = || Quota::per_second(1);
    for describe in [false, true] {
        let any = || match describe {
            true => server(quota()).methods(&methods()),
            false => server(quota()),
        };
        for (builder, named) in [
            (any().service("/test.v1.Kinds", quota()), "did you mean \"test.v1.Kinds\"?"),
            (any().method("test.v1.Kinds", "/Unary", quota()), "\"test.v1.Kinds/Unary\"?"),
            (any().service("test.v1.Kinds/Unary", quota()), "has two names"),
            (any().method("", "Unary", quota()), "a name is empty"),
        ] {
            let error = error(builder);
            assert!(error.contains(named), "{error}");
        }
    }
    let error = error(server(quota()).methods(&methods()).service("Kinds", quota()));
    assert!(error.contains("did you mean \"test.v1.Kinds\"?"), "{error}");
}

#[test]
fn d10_without_methods_rules_that_no_call_has_matched_are_named_once() {
    let lines = Lines::default();
    let _collect = lines.collect();
    let told = || {
        let text = lines.text();
        let told = text.lines().filter(|line| line.contains("no call has matched these rules"));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    let limits = |typo: &str| {
        Limits::none()
            .service("test.v1.Kinds", Quota::per_second(10_000).burst(10_000))
            .method("test.v1.Kinds", typo, Rule::unlimited())
            .service("test.v1.Kind", Rule::unlimited())
    };
    let layer = server(limits("Unnary")).build().unwrap();
    for _ in 0..999 {
        call(&layer, &Who::default()).passed();
    }
    assert_eq!(told(), [""; 0]);
    for _ in 0..2_000 {
        call(&layer, &Who::default()).passed();
    }
    let [line] = &told()[..] else { panic!("{:?}", told()) };
    assert!(line.contains("INFO") && line.contains("1000"), "{line}");
    assert!(line.contains("\"test.v1.Kind, test.v1.Kinds/Unnary\""), "{line}");
    // New rules are checked again.
    layer.handle().replace(limits("Peeek")).unwrap();
    for _ in 0..2_000 {
        call(&layer, &Who::default()).passed();
    }
    assert!(told().len() == 2 && told()[1].contains("test.v1.Kinds/Peeek"), "{:?}", told());
}

#[test]
fn d07_limits_can_be_written_in_any_of_these_ways() {
    let (quota, in_flight) = (Quota::per_second(2), InFlight::new(3));
    let ways: [Limits; 8] = [
        quota.clone().into(),
        in_flight.clone().into(),
        [quota.clone(), Quota::per_minute(2)].into(),
        vec![quota.clone()].into(),
        (quota.clone(), in_flight.clone()).into(),
        Rule::from_iter([quota.clone()]).into(),
        Limits::of(Rule::unlimited().and(quota).and(in_flight)),
        Limits::none(),
    ];
    for limits in ways {
        assert!(server(limits).build().is_ok());
    }
    let read: Quota = "2/2".parse().unwrap();
    let layer = server(read).with_clock(Hand::default().clock()).build().unwrap();
    assert_eq!(passes(&layer, &Who::default()), 2);
}

#[test]
fn d08_debug_output_shows_the_limits_and_no_functions() {
    let quota = Quota::per_second(5).burst(7).cost_by(|_, _| 1).by(Key::metadata("x-a"));
    let shown = format!("{:?}", server((quota, InFlight::new(3))));
    for part in ["5/s", "burst: 7", "metadata:x-a", "by a function", "max: 3"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let layer = server(Quota::per_second(5)).build().unwrap();
    assert!(format!("{layer:?} {:?}", layer.handle()).contains("5/s:global"));
}
