//! `--redis`: rate limits that several servers share.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tonic_ratelimit_layer::{Fallback, RedisStore};

use crate::metrics::{Gauges, at_each_scrape};

const DECISIONS: &str = "ratelimit_shared_decisions_total";
const SECONDS: &str = "ratelimit_shared_decision_seconds";
const READY: &str = "ratelimit_redis_ready";
const BREAKER_OPEN: &str = "ratelimit_redis_breaker_open";

/// What decides while Redis does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RedisFallback {
    /// Each server enforces the limits by itself.
    Local,
    /// Calls pass.
    Open,
    /// Calls are refused.
    Closed,
}

/// The store at this URL. The error does not contain the URL.
pub fn redis_store(url: &str, fallback: RedisFallback) -> Result<RedisStore, String> {
    let store = RedisStore::connect(url).map_err(|error| format!("--redis: {error}"))?;
    let fallback = match fallback {
        RedisFallback::Local => Fallback::Local,
        RedisFallback::Open => Fallback::Open,
        RedisFallback::Closed => Fallback::Closed,
    };
    Ok(store.prefix("orders").fallback(fallback).on_decision(|source, elapsed| {
        counter!(DECISIONS, "source" => source).increment(1);
        histogram!(SECONDS).record(elapsed);
    }))
}

/// Describes the metrics of the store, and sets its gauges at each scrape until the returned value is dropped.
pub(super) fn gauges(store: RedisStore) -> Gauges {
    describe_counter!(DECISIONS, "Decisions of shared limits, by what has decided.");
    describe_histogram!(SECONDS, Unit::Seconds, "Time of a decision of shared limits.");
    describe_gauge!(READY, "1 while Redis decides.");
    describe_gauge!(BREAKER_OPEN, "1 while no call waits for Redis.");
    at_each_scrape(move || {
        gauge!(READY).set(f64::from(u8::from(store.ready().is_ok())));
        gauge!(BREAKER_OPEN).set(f64::from(u8::from(store.is_breaker_open())));
    })
}
