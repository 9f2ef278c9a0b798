//! `--redis`: rate limits that several servers share.

use std::fmt::Display;
use std::path::Path;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tonic_metrics_layer::exporter::metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tonic_ratelimit_layer::{Fallback, RedisStore};

use crate::metrics::{Gauges, at_each_scrape};

const DECISIONS: &str = "ratelimit_shared_decisions_total";
const SECONDS: &str = "ratelimit_shared_decision_seconds";
/// A decision takes less than a millisecond in one zone, and at most its budget of 20 ms.
const BUCKETS: [f64; 9] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05];

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

/// How limits are shared.
#[derive(Clone, Copy, Debug)]
pub struct RedisConfig<'a> {
    /// The URL, which can have a password in it.
    pub url: &'a str,
    /// The file with the CAs of its certificate.
    pub ca: Option<&'a Path>,
    /// What decides while Redis does not.
    pub fallback: RedisFallback,
    /// The number of servers.
    pub replicas: u32,
    /// Whether refusals are remembered.
    pub remember: bool,
}

impl RedisConfig<'_> {
    /// The store. The error names the flag, and does not contain the URL.
    pub fn store(self) -> Result<RedisStore, String> {
        let store = RedisStore::connect(self.url).map_err(|error| format!("--redis: {error}"))?;
        let store = match self.ca {
            None => store,
            Some(file) => {
                let failed =
                    |error: &dyn Display| format!("--redis-ca {}: {error}", file.display());
                let pem = std::fs::read(file).map_err(|error| failed(&error))?;
                store.authority(pem).map_err(|error| failed(&error))?
            }
        };
        let store = store.prefix("orders").replicas(self.replicas).fallback(match self.fallback {
            RedisFallback::Local => Fallback::Local,
            RedisFallback::Open => Fallback::Open,
            RedisFallback::Closed => Fallback::Closed,
        });
        let store = if self.remember { store.remember_refusals() } else { store };
        Ok(store.on_decision(|source, elapsed| {
            counter!(DECISIONS, "source" => source).increment(1);
            histogram!(SECONDS).record(elapsed);
        }))
    }
}

/// Sets the buckets of the histogram.
pub(crate) fn set_buckets(exporter: PrometheusBuilder) -> PrometheusBuilder {
    let name = Matcher::Full(SECONDS.to_owned());
    exporter.set_buckets_for_metric(name, &BUCKETS).expect("there are buckets")
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
