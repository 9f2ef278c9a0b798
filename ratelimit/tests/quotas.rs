//! How many calls pass, and when. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{Hand, PEEK, UNARY, Who, call, metadata, methods, passes, path, principal};
use proptest::prelude::*;
use tonic_ratelimit_layer::{Clock, Key, Limits, Quota, RateLimitLayer, Rule};

const SECOND: Duration = Duration::from_secs(1);
const NANOSECOND: Duration = Duration::from_nanos(1);

fn built(limits: impl Into<Limits>) -> (RateLimitLayer, Hand) {
    let hand = Hand::default();
    let layer = RateLimitLayer::server(limits).methods(&methods()).with_clock(hand.clock());
    (layer.build().unwrap(), hand)
}

fn anybody() -> Who<'static> {
    Who::default()
}

#[test]
fn a01_a_burst_passes_and_then_one_call_per_interval() {
    let (layer, hand) = built(Quota::per_second(10).burst(3));
    assert_eq!(passes(&layer, &anybody()), 3);
    for _ in 0..3 {
        hand.advance(SECOND / 10);
        assert_eq!(passes(&layer, &anybody()), 1);
    }
    hand.advance(SECOND * 3_600);
    assert_eq!(passes(&layer, &anybody()), 3);
}

#[test]
fn a02_the_default_burst_is_the_number_of_the_rate() {
    for (quota, burst) in [
        (Quota::per_second(7), 7),
        (Quota::per_minute(8), 8),
        (Quota::per_hour(9), 9),
        (Quota::every(SECOND), 1),
    ] {
        assert_eq!(passes(&built(quota).0, &anybody()), burst);
    }
}

#[test]
fn a03_rates_are_per_second_minute_hour_or_any_interval() {
    for (quota, each) in [
        (Quota::per_second(10), SECOND / 10),
        (Quota::per_minute(10), SECOND * 6),
        (Quota::per_hour(10), SECOND * 360),
        (Quota::every(SECOND * 7), SECOND * 7),
        (Quota::per_second(3), Duration::from_nanos(333_333_334)),
    ] {
        let (layer, hand) = built(quota.burst(1));
        call(&layer, &anybody()).passed();
        call(&layer, &anybody()).is_limited_for(each);
        hand.advance(each - NANOSECOND);
        call(&layer, &anybody()).is_limited_for(NANOSECOND);
        hand.advance(NANOSECOND);
        call(&layer, &anybody()).passed();
    }
}

#[test]
fn a04_a_call_can_count_as_several() {
    let (layer, hand) = built(Quota::per_second(10).cost(3));
    assert_eq!(passes(&layer, &anybody()), 3);
    call(&layer, &anybody()).is_limited_for(SECOND / 5);
    hand.advance(SECOND / 5);
    assert_eq!(passes(&layer, &anybody()), 1);
}

fn by_header() -> Quota {
    Quota::per_second(10).cost_by(|rpc, head| {
        assert_eq!(rpc.full(), "test.v1.Kinds/Unary");
        let cost = head.headers.get("x-cost").unwrap();
        cost.to_str().unwrap().parse().expect("a cost, on purpose")
    })
}

#[test]
fn a05_a_function_returns_the_cost_of_a_call() {
    let (layer, hand) = built(by_header());
    call(&layer, &metadata(&[("x-cost", "7")])).passed();
    call(&layer, &metadata(&[("x-cost", "4")])).is_limited_for(SECOND / 10);
    call(&layer, &metadata(&[("x-cost", "3")])).passed();
    // The quota is used up, and the call costs nothing.
    call(&layer, &metadata(&[("x-cost", "0")])).passed();
    hand.advance(SECOND);
    call(&layer, &metadata(&[("x-cost", "10")])).passed();
}

#[test]
fn a06_a_call_that_costs_more_than_a_burst_is_not_to_be_retried() {
    let (layer, hand) = built(by_header());
    for cost in ["11", "4294967295"] {
        let called = call(&layer, &metadata(&[("x-cost", cost)]));
        called.is_refused(tonic::Code::ResourceExhausted, "RATE_LIMITED");
        assert_eq!(called.message, "the call costs more than its limit ever allows");
        assert_eq!((called.wait(), called.header("grpc-retry-pushback-ms")), (None, Some("-1")));
        assert_eq!(called.header("ratelimit"), Some(r#""10/s:global";r=10"#));
        hand.advance(SECOND * 3_600);
    }
    // The refused call took nothing.
    call(&layer, &metadata(&[("x-cost", "10")])).passed();
}

#[test]
fn a07_a_cost_that_panics_is_one() {
    tonic_call_test_kit::silence_panics();
    let (layer, _) = built(by_header().burst(2));
    let lines = common::Lines::default();
    let collecting = lines.collect();
    let hostile = metadata(&[("x-cost", "what?")]);
    let called = call(&layer, &hostile);
    called.passed();
    assert!(called.info.panic().unwrap().contains("a cost, on purpose"));
    assert_eq!(passes(&layer, &hostile), 1);
    drop(collecting);
    assert!(lines.text().contains("ERROR"), "{}", lines.text());
}

#[test]
fn a08_of_several_quotas_a_call_takes_from_all_or_from_none() {
    let per_caller = Quota::per_second(1).burst(3).by(Key::principal());
    let (layer, hand) = built([per_caller, Quota::per_second(10).burst(5)]);
    let (ann, bob) = (principal("ann"), principal("bob"));
    assert_eq!(passes(&layer, &ann), 3);
    // Calls that ann's own quota refuses take nothing from the common one.
    for _ in 0..100 {
        call(&layer, &ann).is_limited_for(SECOND);
    }
    assert_eq!(passes(&layer, &bob), 2);
    // Calls that the common quota refuses take nothing from bob's.
    call(&layer, &bob).is_limited_for(SECOND / 10);
    hand.advance(SECOND / 10);
    call(&layer, &bob).passed();
}

#[test]
fn a09_the_wait_is_the_longest_of_those_that_refuse() {
    let (slow, fast) = (Quota::every(SECOND * 5).named("slow"), Quota::every(SECOND).named("fast"));
    for limits in [[slow.clone(), fast.clone()], [fast, slow]] {
        let (layer, hand) = built(limits);
        call(&layer, &anybody()).passed();
        let called = call(&layer, &anybody());
        called.is_limited_for(SECOND * 5);
        assert_eq!(called.details.error_info().unwrap().metadata["limit"], "slow");
        let named: Vec<_> = called.details.quota_failure().unwrap().violations.iter().collect();
        assert_eq!(named.len(), 2);
        hand.advance(SECOND);
        // The longest wait of the quotas that refuse: the other one allows the call now.
        let called = call(&layer, &anybody());
        called.is_limited_for(SECOND * 4);
        assert_eq!(called.details.quota_failure().unwrap().violations[0].quota_id, "slow");
        assert_eq!(called.details.quota_failure().unwrap().violations.len(), 1);
    }
}

#[test]
fn a10_only_the_most_specific_rule_applies() {
    let limits = Limits::of(Quota::per_second(1))
        .service("test.v1.Kinds", Quota::per_second(2))
        .method("test.v1.Kinds", "Unary", Quota::per_second(3));
    let (layer, _) = built(limits);
    assert_eq!(passes(&layer, &path(UNARY)), 3);
    assert_eq!(passes(&layer, &path(PEEK)), 2);
    assert_eq!(passes(&layer, &path("/other.v1.Service/Method")), 1);
}

#[test]
fn a11_the_methods_of_a_rule_share_its_quota() {
    let (layer, _) = built(Limits::none().service("test.v1.Kinds", Quota::per_second(2)));
    call(&layer, &path(UNARY)).passed();
    call(&layer, &path(PEEK)).passed();
    call(&layer, &path(UNARY)).is_limited_for(SECOND / 2);
    // Other methods use the default, which has no limit here.
    assert_eq!(passes(&layer, &path("/other.v1.Service/Method")), 10_000);
}

#[test]
fn a12_per_method_each_has_its_own_and_invented_ones_share_one() {
    let (layer, _) = built(Quota::per_second(2).per_method());
    assert_eq!(passes(&layer, &path(UNARY)), 2);
    assert_eq!(passes(&layer, &path(PEEK)), 2);
    call(&layer, &path("/test.v1.Kinds/Invented")).passed();
    call(&layer, &path("/another.v1.Service/Invented")).passed();
    assert_eq!(passes(&layer, &path("/test.v1.Kinds/Invented3")), 0);

    let per_caller = Quota::per_second(2).by(Key::principal()).per_method();
    let (layer, _) = built(per_caller);
    for (who, path) in [("ann", UNARY), ("ann", PEEK), ("bob", UNARY), ("bob", PEEK)] {
        assert_eq!(passes(&layer, &Who { path, ..principal(who) }), 2, "{who} {path}");
    }
}

#[test]
fn a13_a_rule_can_lift_the_default() {
    let limits =
        Limits::of(Quota::per_second(1)).method("test.v1.Kinds", "Unary", Rule::unlimited());
    let (layer, _) = built(limits);
    assert_eq!(passes(&layer, &path(UNARY)), 10_000);
    assert_eq!(passes(&layer, &path(PEEK)), 1);
}

#[test]
fn a14_health_and_reflection_are_not_limited_unless_asked_for() {
    let all = [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    let builder =
        || RateLimitLayer::server(Quota::per_second(1)).with_clock(Hand::default().clock());
    let layer = builder().build().unwrap();
    assert!(all.iter().all(|of| passes(&layer, &path(of)) == 10_000));
    let layer = builder().service("grpc.health.v1.Health", Quota::per_second(5)).build().unwrap();
    assert_eq!(all.map(|of| passes(&layer, &path(of))), [5, 10_000, 10_000]);
    let layer = builder().include_infrastructure().build().unwrap();
    assert_eq!(all.map(|of| passes(&layer, &path(of))), [1, 0, 0]);
}

#[test]
fn a15_a_path_that_is_not_a_method_is_limited_by_the_default() {
    let limits = Limits::of(Quota::per_second(1)).service("test.v1.Kinds", Quota::per_second(5));
    let layer = RateLimitLayer::server(limits).with_clock(Hand::default().clock()).build().unwrap();
    call(&layer, &path("/healthz")).passed();
    for other in ["/", "/test.v1.Kinds", "/test.v1.Kinds/Unary/", "//test.v1.Kinds/Unary"] {
        call(&layer, &path(other)).is_limited_for(SECOND);
    }
}

#[test]
fn a16_a_shadow_counts_and_reports_and_lets_pass() {
    let (layer, hand) = built(Quota::per_second(2).shadow());
    for _ in 0..2 {
        let called = call(&layer, &anybody());
        called.passed();
        assert_eq!(called.refusals, []);
    }
    for _ in 0..3 {
        let called = call(&layer, &anybody());
        called.passed();
        assert_eq!(called.refusals, [tonic_call::Refusal::shadow("ratelimit", "RATE_LIMITED")]);
        assert_eq!(called.field("ratelimit.shadow").unwrap(), "Text(\"2/s:global\")");
        assert_eq!(called.field("ratelimit.limit"), None, "nothing has refused it");
    }
    // Calls that it would have refused took nothing.
    hand.advance(SECOND / 2);
    assert_eq!(call(&layer, &anybody()).refusals, []);
    assert_eq!(call(&layer, &anybody()).refusals.len(), 1);
}

#[test]
fn a17_a_shadow_takes_when_the_call_passes_and_not_when_another_refuses() {
    let shadow = Quota::per_second(1).burst(3).named("shadow").shadow();
    let real = Quota::per_second(10).burst(2).named("real");
    let (layer, hand) = built([shadow, real]);
    assert_eq!(passes(&layer, &anybody()), 2);
    for _ in 0..5 {
        let called = call(&layer, &anybody());
        called.is_limited_for(SECOND / 10);
        assert_eq!(called.refusals.len(), 1, "the shadow has one left: {called:?}");
    }
    hand.advance(SECOND / 10);
    assert_eq!(call(&layer, &anybody()).refusals, []);
    // The shadow would refuse the call; only the real limit is charged.
    hand.advance(SECOND / 10);
    let called = call(&layer, &anybody());
    called.passed();
    assert_eq!(called.refusals.len(), 1);
    let called = call(&layer, &anybody());
    called.is_limited_for(SECOND / 10);
    assert_eq!(called.refusals.len(), 2);
    // The shadow has a longer wait, which is ignored.
    assert_eq!(called.details.error_info().unwrap().metadata["limit"], "real");
    assert_eq!(called.details.quota_failure().unwrap().violations.len(), 1);
    assert_eq!(called.header("ratelimit"), Some(r#""real";r=0;t=1"#));
}

#[test]
fn a18_clones_and_services_count_together() {
    let (layer, _) = built(Quota::per_second(4));
    call(&layer, &anybody()).passed();
    call(&layer.clone(), &anybody()).passed();
    let other = std::thread::spawn({
        let layer = layer.clone();
        move || passes(&layer, &Who::default())
    });
    assert_eq!(other.join().unwrap(), 2);
    assert_eq!(passes(&layer, &anybody()), 0);
}

#[test]
fn a22_clones_of_a_pooled_rule_count_together_and_others_do_not() {
    let quota = || Rule::from(Quota::per_second(3).by(Key::principal()));
    let of_both = |one: Rule, other: Rule| {
        let limits = Limits::none().method("test.v1.Kinds", "Unary", one);
        let (layer, _) = built(limits.method("test.v1.Kinds", "Peek", other));
        let who = |path| Who { path, ..principal("ann") };
        (passes(&layer, &who(UNARY)), passes(&layer, &who(PEEK)))
    };
    let pooled = quota().pooled();
    assert_eq!(of_both(pooled.clone(), pooled.clone()), (3, 0));
    assert_eq!(of_both(quota(), quota()), (3, 3));
    // Not a clone, or a clone that has more limits.
    assert_eq!(of_both(pooled.clone(), quota().pooled()), (3, 3));
    assert_eq!(of_both(pooled.clone(), pooled.and(Quota::per_second(2))), (3, 2));
}

#[test]
fn a21_a_call_reads_the_clock_once() {
    let read = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let reads = std::sync::Arc::clone(&read);
    // It advances with each reading.
    let clock = Clock::new(move || {
        Duration::from_nanos(reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    });
    let quotas = [1, 2, 3].map(Quota::per_second);
    let layer = RateLimitLayer::server(quotas).with_clock(clock).build().unwrap();
    call(&layer, &anybody()).passed();
    call(&layer, &anybody()).is_limited_for(SECOND - NANOSECOND);
    assert_eq!(read.load(std::sync::atomic::Ordering::SeqCst), 2);
}

/// The reference model: a bucket that holds `burst` calls and gets one each `interval`.
#[derive(Clone, Debug)]
struct Bucket {
    level: i128,
    at: i128,
}

#[derive(Clone, Debug)]
struct Modelled {
    interval: u64,
    burst: u32,
    cost: u32,
    keyed: bool,
    shadow: bool,
}

impl Modelled {
    fn quota(&self, number: usize) -> Quota {
        let quota =
            Quota::every(Duration::from_nanos(self.interval)).burst(self.burst).cost(self.cost);
        let quota = quota.named(format!("{number}"));
        let quota = if self.keyed { quota.by(Key::principal()) } else { quota };
        if self.shadow { quota.shadow() } else { quota }
    }

    fn full(&self) -> i128 {
        i128::from(self.interval) * i128::from(self.burst)
    }

    fn price(&self) -> i128 {
        i128::from(self.interval) * i128::from(self.cost)
    }

    /// How much is missing for one more call.
    fn missing(&self, bucket: &mut Bucket, now: i128) -> i128 {
        bucket.level = (bucket.level + now - bucket.at).min(self.full());
        bucket.at = now;
        (self.price() - bucket.level).max(0)
    }
}

fn modelled() -> impl Strategy<Value = Modelled> {
    let interval =
        prop_oneof![100_u64..2_000, 1_000_000_u64..2_000_000_000, Just(3_600_000_000_000)];
    (interval, 1_u32..20, 1_u32..20, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(
        |(interval, burst, cost, keyed, shadow)| Modelled {
            interval,
            burst,
            cost: cost.min(burst),
            keyed,
            shadow,
        },
    )
}

proptest! {
    #[test]
    fn a19_any_sequence_is_decided_as_by_buckets_that_are_filled(
        quotas in proptest::collection::vec(modelled(), 1..5),
        steps in proptest::collection::vec(
            (
                prop_oneof![
                    4 => Just(0_u64),
                    4 => 0_u64..3_000_000_000,
                    4 => 0_u64..3_000,
                    1 => any::<u32>().prop_map(|far| u64::from(far) << 26),
                ],
                0_usize..3,
            ),
            1..120,
        ),
    ) {
        let rule: Rule = quotas.iter().enumerate().map(|(number, quota)| quota.quota(number)).collect();
        let hand = Hand::default();
        let layer = RateLimitLayer::server(rule).with_clock(hand.clock()).build().unwrap();
        let mut buckets: HashMap<(usize, usize), Bucket> = HashMap::new();
        let mut now = 0_u64;
        for (later, who) in steps {
            now = (now + later).min(1 << 61);
            hand.set(now);
            let (mut wait, mut shadows) = (0, 0);
            let mut takes = Vec::new();
            for (number, quota) in quotas.iter().enumerate() {
                let key = (number, if quota.keyed { who } else { 0 });
                let fresh = Bucket { level: quota.full(), at: now.into() };
                let missing = quota.missing(buckets.entry(key).or_insert(fresh), now.into());
                match (missing, quota.shadow) {
                    (0, _) => takes.push((key, quota.price())),
                    (_, true) => shadows += 1,
                    (missing, false) => wait = wait.max(missing),
                }
            }
            let called = call(&layer, &principal(["ann", "bob", "eve"][who]));
            prop_assert_eq!(called.came_through, wait == 0, "{:?}", called);
            let shadowed = called.refusals.iter().filter(|refusal| refusal.shadow).count();
            prop_assert_eq!(shadowed, shadows);
            if wait == 0 {
                for (key, price) in takes {
                    buckets.get_mut(&key).unwrap().level -= price;
                }
            } else {
                prop_assert_eq!(called.wait().map(|wait| wait.as_nanos() as i128), Some(wait));
            }
        }
    }

    #[test]
    fn a20_a_single_caller_passes_exactly_after_the_reported_wait(
        quotas in proptest::collection::vec(modelled(), 1..4),
        first in 1_usize..60,
    ) {
        let real = quotas.into_iter().map(|quota| Modelled { shadow: false, ..quota });
        let rule: Rule = real.enumerate().map(|(number, quota)| quota.quota(number)).collect();
        let hand = Hand::default();
        let layer = RateLimitLayer::server(rule).with_clock(hand.clock()).build().unwrap();
        for _ in 0..first {
            let called = call(&layer, &principal("ann"));
            if let Some(wait) = called.wait() {
                prop_assert!(!wait.is_zero());
                hand.advance(wait - NANOSECOND);
                call(&layer, &principal("ann")).is_limited_for(NANOSECOND);
                hand.advance(NANOSECOND);
                call(&layer, &principal("ann")).passed();
            } else {
                called.passed();
            }
        }
    }
}
