//! `RedisStore::remember_refusals`: callers over their quota are refused without a round trip.

use super::*;
use crate::common::Hand;

/// How many calls Redis has been asked about.
fn asked(redis: &RedisServer) -> u64 {
    let stats = match redis.run(&["INFO", "commandstats"]) {
        redis::Value::BulkString(text) => String::from_utf8(text).unwrap(),
        redis::Value::VerbatimString { text, .. } => text,
        other => panic!("{other:?}"),
    };
    let of_scripts = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls = of_scripts.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// A layer that remembers, once Redis decides.
async fn remembering(
    limits: impl Into<Limits>,
    redis: &RedisServer,
    hand: &Hand,
) -> RateLimitLayer {
    let layer = RateLimitLayer::server(limits)
        .shared(store(&redis.url()).remember_refusals())
        .with_clock(hand.clock())
        .build()
        .unwrap();
    until(&layer, true).await;
    layer
}

fn hourly(calls: u32) -> Quota {
    Quota::per_hour(calls).by(Key::principal())
}

#[tokio::test]
async fn who_has_no_call_left_is_refused_without_asking_redis_until_one_is_refilled() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let hand = Hand::default();
    let layer = remembering(hourly(3), &redis, &hand).await;
    assert_eq!(passes(&layer, &principal("ann"), 3).await, 3);
    let before = asked(&redis);
    for _ in 0..50 {
        let refused = send_from(&layer, &principal("ann")).await;
        refused.is_refused(LIMITED.0, LIMITED.1);
        let wait = refused.wait().unwrap();
        assert!(
            wait > Duration::from_secs(1_100) && wait <= Duration::from_secs(1_200),
            "{wait:?}"
        );
        assert_eq!(refused.details.error_info().unwrap().metadata["limit"], "3/h:principal");
        assert!(refused.field("ratelimit.source").unwrap().contains("remembered"));
    }
    assert_eq!(asked(&redis), before);
    // Only the caller who was refused.
    assert!(send_from(&layer, &principal("bob")).await.came_through);
    assert_eq!(asked(&redis), before + 1);
    // When a call should be refilled, Redis decides again. Its own clock has not advanced.
    hand.advance(Duration::from_secs(1_200));
    for source in ["redis", "remembered"] {
        let refused = send_from(&layer, &principal("ann")).await;
        refused.is_refused(LIMITED.0, LIMITED.1);
        assert!(refused.field("ratelimit.source").unwrap().contains(source), "{refused:?}");
        assert_eq!(asked(&redis), before + 2);
    }
    // Keys that are deleted by hand stay refused.
    redis.run(&["FLUSHALL"]);
    assert_eq!(passes(&layer, &principal("ann"), 5).await, 0);
}

#[tokio::test]
async fn without_it_redis_is_asked_for_each_call() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let layer = layer(hourly(3), &store(&redis.url()));
    until(&layer, true).await;
    let before = asked(&redis);
    assert_eq!(passes(&layer, &principal("ann"), 20).await, 3);
    assert_eq!(asked(&redis), before + 20);
}

#[tokio::test]
async fn a_call_that_costs_less_than_a_refused_one_can_pass() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let cost = |_: &tonic_call::Rpc, head: &http::request::Parts| {
        head.headers.get("x-cost").map_or(1, |cost| cost.to_str().unwrap().parse().unwrap())
    };
    let limit = Quota::per_hour(5).cost_by(cost);
    let layer = remembering(limit, &redis, &Hand::default()).await;
    redis.run(&["FLUSHALL"]);
    for (cost, passes, source) in [
        ("4", true, "redis"),
        ("4", false, "redis"),
        ("4", false, "remembered"),
        ("2", false, "remembered"),
        ("0", true, "redis"),
        ("1", true, "redis"),
        ("1", false, "remembered"),
    ] {
        let headers = [("x-cost", cost)];
        let called = send_from(&layer, &common::metadata(&headers)).await;
        assert_eq!(called.came_through, passes, "{cost}, by {source}: {called:?}");
        assert!(called.field("ratelimit.source").unwrap().contains(source), "{cost}: {called:?}");
    }
}

#[tokio::test]
async fn a_shadow_limit_refuses_nothing_and_one_of_several_quotas_refuses() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let limits = || [hourly(1).named("shadow").shadow(), hourly(3).named("enforced")];
    let layer = remembering(limits(), &redis, &Hand::default()).await;
    let before = asked(&redis);
    assert_eq!(passes(&layer, &principal("ann"), 10).await, 3);
    assert_eq!(asked(&redis), before + 3);
    let refused = send_from(&layer, &principal("ann")).await;
    assert_eq!(refused.details.error_info().unwrap().metadata["limit"], "enforced");
}

/// Guards against: callers that stay refused although the new Redis knows nothing of them.
#[tokio::test]
async fn what_was_remembered_is_forgotten_with_the_connection_and_does_not_count_in_an_outage() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let layer = remembering(hourly(3), &redis, &Hand::default()).await;
    assert_eq!(passes(&layer, &principal("ann"), 5).await, 3);
    redis.kill();
    until(&layer, false).await;
    let answers = passes(&layer, &principal("ann"), 5).await;
    assert_eq!(answers, 3, "the fallback decides, which has seen no call of this caller");
    redis.restart();
    until(&layer, true).await;
    assert_eq!(passes(&layer, &principal("ann"), 5).await, 3);
}
