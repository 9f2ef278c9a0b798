//! Limits are replaced while calls arrive. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Hand, PEEK, UNARY, Who, call, passes, path, principal};
use tonic::Code;
use tonic_call_test_kit::Script;
use tonic_ratelimit_layer::{InFlight, Key, Limits, Quota, RateLimitLayer, Rule};
use tower::{Layer as _, Service as _, service_fn};

fn built(limits: impl Into<Limits>) -> (RateLimitLayer, Hand) {
    let hand = Hand::default();
    let layer = RateLimitLayer::server(limits).methods(&common::methods()).with_clock(hand.clock());
    (layer.build().unwrap(), hand)
}

fn ann() -> Who<'static> {
    principal("ann")
}

#[test]
fn f01_later_calls_are_decided_by_the_new_limits() {
    let (layer, _) = built(Quota::per_second(1));
    let clone = layer.clone();
    assert_eq!(passes(&layer, &ann()), 1);
    layer.handle().replace(Quota::per_second(5)).unwrap();
    assert_eq!(passes(&clone, &ann()), 5);
    layer.handle().clone().replace(Limits::none()).unwrap();
    assert_eq!(passes(&clone, &ann()), 10_000);
    layer.handle().replace(Limits::none().service("test.v1.Kinds", Quota::per_second(2))).unwrap();
    assert_eq!(passes(&clone, &ann()), 2);
}

#[test]
fn f02_a_quota_that_stays_the_same_keeps_its_state() {
    let quota = || Quota::per_second(5).burst(3).by(Key::principal());
    let key = Key::function(|_, _| Some(1));
    let by_function = Quota::per_second(3).by(key.clone());
    for (before, after) in [
        (Limits::of(quota()), Limits::of(quota())),
        // Its cost, its shadow mode and the other limits may change.
        (quota().into(), quota().cost(2).into()),
        (quota().into(), [Quota::per_second(9_999), quota()].into()),
        ([Quota::per_second(9_999), quota()].into(), quota().into()),
        (
            Limits::none().service("test.v1.Kinds", quota()),
            Limits::of(Quota::per_second(1)).service("test.v1.Kinds", quota()),
        ),
        (
            Limits::none().method("test.v1.Kinds", "Unary", quota()),
            Limits::none().method("test.v1.Kinds", "Unary", quota()),
        ),
        (quota().per_method().into(), quota().per_method().into()),
        (by_function.clone().into(), Quota::per_second(3).by(key).into()),
        (
            Quota::per_second(3).by(Key::metadata("x-a")).into(),
            Quota::per_second(3).by(Key::metadata("X-A")).into(),
        ),
        (
            Quota::per_second(60).burst(3).named("a").into(),
            Quota::per_second(60).burst(3).named("a").into(),
        ),
    ] {
        let (layer, _) = built(before.clone());
        assert_eq!(passes(&layer, &ann()), 3, "{before:?}");
        layer.handle().replace(after.clone()).unwrap();
        assert_eq!(passes(&layer, &ann()), 0, "{before:?} {after:?}");
    }
}

#[test]
fn f03_a_changed_quota_starts_without_state() {
    let quota = || Quota::per_second(5).burst(3).by(Key::principal()).named("a");
    let function = || Quota::per_second(3).by(Key::function(|_, _| Some(1)));
    let at = |place: &str| Limits::none().method("test.v1.Kinds", place, quota());
    for (before, after) in [
        (Limits::of(quota()), Limits::of(quota().named("b"))),
        (quota().into(), Quota::per_second(6).burst(3).by(Key::principal()).named("a").into()),
        (quota().into(), quota().burst(4).into()),
        (quota().into(), quota().by(Key::global()).into()),
        (quota().into(), quota().by(Key::peer()).into()),
        (quota().into(), quota().per_method().into()),
        (
            Quota::per_second(3).named("a").into(),
            Quota::per_second(3).named("a").per_method().into(),
        ),
        (quota().into(), Limits::none().service("test.v1.Kinds", quota())),
        (at("Unary"), Limits::none().service("test.v1.Kinds", quota())),
        (function().into(), function().into()),
        (quota().by(Key::metadata("x-a")).into(), quota().by(Key::metadata("x-b")).into()),
    ] {
        let (layer, _) = built(before.clone());
        assert_eq!(passes(&layer, &ann()), 3, "{before:?}");
        layer.handle().replace(after.clone()).unwrap();
        assert!(passes(&layer, &ann()) >= 3, "{before:?} {after:?}");
    }
}

#[test]
fn f04_a_quota_that_was_removed_starts_without_state() {
    let (layer, _) = built(Quota::per_second(3));
    assert_eq!(passes(&layer, &ann()), 3);
    layer.handle().replace(Limits::none()).unwrap();
    layer.handle().replace(Quota::per_second(3)).unwrap();
    assert_eq!(passes(&layer, &ann()), 3);
}

#[test]
fn f05_a_shadow_becomes_real_with_its_state() {
    let quota = Quota::per_second(3);
    let (layer, _) = built(quota.clone().shadow());
    call(&layer, &ann()).passed();
    layer.handle().replace(quota).unwrap();
    assert_eq!(passes(&layer, &ann()), 2);
}

#[test]
fn f06_wrong_limits_replace_nothing() {
    let (layer, _) = built(Quota::per_second(2));
    call(&layer, &ann()).passed();
    layer.handle().replace(Quota::per_second(0)).unwrap_err();
    let twice = [Quota::per_second(9), Quota::per_second(9)];
    layer
        .handle()
        .replace(Limits::of(Quota::per_second(7)).service("test.v1.Kinds", twice))
        .unwrap_err();
    layer
        .handle()
        .replace(Limits::of(Quota::per_second(7)).service("no.Such", Quota::per_second(1)))
        .unwrap_err();
    assert_eq!(passes(&layer, &ann()), 1);
}

fn running(layer: &RateLimitLayer) -> Option<impl Sized + use<>> {
    let answer = || std::future::ready(Ok::<_, tonic::Status>(Script::new().stall().respond()));
    let service = service_fn(move |_: http::Request<tonic::body::Body>| answer());
    let response = common::now(layer.layer(service).call(ann().request())).unwrap();
    (!response.headers().contains_key("grpc-status")).then_some(response)
}

#[test]
fn f07_calls_in_flight_stay_counted_whatever_their_limit_is_now() {
    let (layer, _) = built(InFlight::new(2).by(Key::principal()));
    let old = [running(&layer), running(&layer)];
    assert!(old.iter().all(Option::is_some) && running(&layer).is_none());
    // A higher limit, and a lower one.
    layer.handle().replace(InFlight::new(3).by(Key::principal())).unwrap();
    let third = running(&layer);
    assert!(third.is_some() && running(&layer).is_none());
    layer.handle().replace(InFlight::new(1).by(Key::principal())).unwrap();
    assert!(running(&layer).is_none());
    drop(old);
    call(&layer, &ann()).is_refused(Code::ResourceExhausted, "CONCURRENCY_LIMITED");
    drop(third);
    assert!(running(&layer).is_some());
}

#[test]
fn f08_calls_of_removed_limits_are_subtracted_there() {
    let limit = InFlight::new(1);
    let (layer, _) = built(limit.clone());
    let old = running(&layer);
    layer.handle().replace(Limits::none()).unwrap();
    layer.handle().replace(limit).unwrap();
    let new = running(&layer);
    assert!(old.is_some() && new.is_some());
    // The end of the old call does not change the new count.
    drop(old);
    assert!(running(&layer).is_none());
    drop(new);
    assert!(running(&layer).is_some());
}

#[test]
fn f09_quotas_that_stay_and_new_ones_are_taken_together() {
    let (a, b) = (Quota::per_second(3).named("a"), Quota::per_second(5).named("b"));
    let (layer, _) = built(b.clone());
    // The older quota is written after the newer one.
    layer.handle().replace([a.clone(), b.clone()]).unwrap();
    assert_eq!(passes(&layer, &ann()), 3);
    layer.handle().replace(b).unwrap();
    assert_eq!(passes(&layer, &ann()), 2);
    assert_eq!(passes(&layer, &path("/a.B/C")), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f10_a_swap_under_load_loses_no_count() {
    swapped_under_load(Key::global(), 1).await;
    swapped_under_load(Key::principal(), 3).await;
}

/// Three callers use up a quota while other limits are added and removed.
async fn swapped_under_load(key: Key, buckets: usize) {
    const ROUNDS: usize = 50;
    let quota = || Quota::per_second(1_000).burst(100).by(key.clone());
    let (layer, hand) = built(quota());
    let per_caller = |calls: u32| Quota::per_second(calls).by(Key::principal());
    let tables: [Rule; 4] = [
        quota().into(),
        [quota(), per_caller(1_000_000)].into(),
        [per_caller(2_000_000), quota()].into(),
        (InFlight::new(1_000_000), quota()).into(),
    ];
    let (granted, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let swapping = std::thread::spawn({
        let (handle, over) = (layer.handle(), Arc::clone(&over));
        move || {
            let mut swaps = 0;
            while !over.load(Ordering::SeqCst) {
                handle.replace(tables[swaps % tables.len()].clone()).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    for round in 1..=ROUNDS {
        let tasks: Vec<_> = (0..64)
            .map(|task: usize| {
                let (layer, granted) = (layer.clone(), Arc::clone(&granted));
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let passed = common::came_through(
                            &layer,
                            &principal(["ann", "bob", "eve"][task % 3]),
                        );
                        granted.fetch_add(passed.into(), Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        // There were 1,280 calls, and the clock was not advanced.
        assert_eq!(granted.load(Ordering::SeqCst), buckets * (50 + round * 50));
        hand.advance(Duration::from_millis(50));
    }
    over.store(true, Ordering::SeqCst);
    assert!(swapping.join().unwrap() > 4);
}

#[test]
fn f11_rules_that_are_no_longer_pooled_have_limits_of_their_own() {
    let both = |one: Rule, other: Rule| {
        let limits = Limits::none().method("test.v1.Kinds", "Unary", one);
        limits.method("test.v1.Kinds", "Peek", other)
    };
    let quota = || Rule::from(Quota::per_second(3).by(Key::principal()));
    let pooled = || {
        let pooled = quota().pooled();
        both(pooled.clone(), pooled)
    };
    let (layer, _) = built(pooled());
    assert_eq!((passes(&layer, &path(UNARY)), passes(&layer, &path(PEEK))), (3, 0));
    layer.handle().replace(pooled()).unwrap();
    assert_eq!((passes(&layer, &path(UNARY)), passes(&layer, &path(PEEK))), (0, 0));
    layer.handle().replace(both(quota(), quota())).unwrap();
    // One of them has the state of both, the other begins.
    assert_eq!(passes(&layer, &path(UNARY)) + passes(&layer, &path(PEEK)), 3);
}
