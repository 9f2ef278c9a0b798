//! Gauges of the keys that limits store.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::{Unit, describe_gauge, gauge};
use tonic_ratelimit_layer::{Handle, RateLimitLayer};

use super::call_limits::LimitLayers;
use super::redis;
use crate::metrics::{Gauges, at_each_scrape};

const KEYS: &str = "ratelimit_keys";
const MAX_KEYS: &str = "ratelimit_keys_at_most";
const OVERFLOW: &str = "ratelimit_overflow_in_use";

/// Sets the gauges at each scrape, until the returned value is dropped.
pub(crate) fn gauges(layers: &LimitLayers) -> (Gauges, Option<Gauges>) {
    let handles = [&layers.before_auth, &layers.in_flight, &layers.after_auth];
    let handles = handles.map(RateLimitLayer::handle);
    describe_gauge!(KEYS, Unit::Count, "Keys that a limit stores: callers, addresses, values.");
    describe_gauge!(MAX_KEYS, Unit::Count, "Maximum number of keys that a limit stores.");
    describe_gauge!(OVERFLOW, "1 while keys for which a limit has no room share one bucket.");
    // A limit that was removed is set to 0: an unchanged series looks like a limit that still exists.
    let shown = Mutex::new(BTreeSet::new());
    let keys = at_each_scrape(move || {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut removed = std::mem::take(&mut *shown);
        for usage in handles.iter().flat_map(Handle::usage) {
            let Some(max) = usage.max_keys else { continue };
            let labels = (usage.rule, usage.limit);
            set(&labels, usage.keys, max, usage.overflow_in_use);
            removed.remove(&labels);
            shown.insert(labels);
        }
        for labels in &removed {
            set(labels, 0, 0, false);
        }
    });
    (keys, layers.redis.clone().map(redis::gauges))
}

fn set((rule, limit): &(String, String), keys: usize, max: usize, overflow_in_use: bool) {
    let labels = [("rule", rule.clone()), ("limit", limit.clone())];
    gauge!(KEYS, &labels).set(keys as f64);
    gauge!(MAX_KEYS, &labels).set(max as f64);
    gauge!(OVERFLOW, &labels).set(f64::from(u8::from(overflow_in_use)));
}
