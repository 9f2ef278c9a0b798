//! The usage of limits can be read. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Hand, PEEK, Who, call, principal};
use tonic_ratelimit_layer::{InFlight, Key, Limits, Quota, RateLimitLayer, Usage};
use tower::{Layer as _, Service as _};

/// Rule, limit, number of keys, maximum number of keys, whether the overflow is in use.
type Read<'u> = (&'u str, &'u str, usize, Option<usize>, bool);

fn read(usage: &[Usage]) -> Vec<Read<'_>> {
    let mut all: Vec<Read<'_>> = Vec::new();
    for usage in usage {
        let Usage { rule, limit, keys, max_keys, overflow_in_use, .. } = usage;
        all.push((rule, limit, *keys, *max_keys, *overflow_in_use));
    }
    all
}

#[test]
fn keys_and_overflow_of_a_quota_are_read_per_rule_and_limit() {
    let hand = Hand::default();
    let limits = Limits::of(Quota::per_second(1).named("all"))
        .method("test.v1.Kinds", "Unary", Quota::per_minute(1).by(Key::principal()).named("each"))
        .service("test.v1.Kinds", Quota::per_second(9).by(Key::principal()).named("others"));
    let layer = RateLimitLayer::server(limits)
        .methods(&common::methods())
        .max_keys(2)
        .with_clock(hand.clock())
        .build()
        .unwrap();
    let handle = layer.handle();
    let now = |each: (usize, bool), others: usize| {
        let expected = [
            ("*", "all", 0, None, false),
            ("test.v1.Kinds", "others", others, Some(2), false),
            ("test.v1.Kinds/Unary", "each", each.0, Some(2), each.1),
        ];
        assert_eq!(read(&handle.usage()), expected);
    };
    now((0, false), 0);
    for (who, keys) in [("ann", 1), ("bob", 2)] {
        call(&layer, &principal(who));
        now((keys, false), 0);
    }
    // There is no room: this key uses the shared bucket.
    call(&layer, &principal("eve"));
    now((2, true), 0);
    call(&layer, &Who { path: PEEK, ..principal("ann") });
    now((2, true), 1);
    // The bursts are full again.
    hand.advance(Duration::from_secs(61));
    now((2, false), 1);

    handle.replace(Limits::none()).unwrap();
    assert_eq!(handle.usage(), []);
}

#[test]
fn calls_in_flight_are_keys_until_they_end() {
    let limit = InFlight::new(5).by(Key::principal()).named("open");
    let layer = RateLimitLayer::server(limit).max_keys(1).build().unwrap();
    let handle = layer.handle();
    assert_eq!(read(&handle.usage()), [("*", "open", 0, Some(1), false)]);
    let mut service = layer.layer(common::Inner::default());
    let ann = service.call(principal("ann").request());
    assert_eq!(read(&handle.usage()), [("*", "open", 1, Some(1), false)]);
    let eve = service.call(principal("eve").request());
    assert_eq!(read(&handle.usage()), [("*", "open", 1, Some(1), true)]);
    drop(eve);
    assert_eq!(read(&handle.usage()), [("*", "open", 1, Some(1), false)]);
    drop(ann);
    assert_eq!(read(&handle.usage()), [("*", "open", 0, Some(1), false)]);
}
