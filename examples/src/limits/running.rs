//! Limits of a server that runs: their gauges, and how they change.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::{Unit, describe_gauge, gauge};
use tokio::task::JoinHandle;
use tonic_call::Methods;
use tonic_ratelimit_layer::{Handle, RateLimitLayer};

use super::Limits;
use crate::metrics::{Gauges, at_each_scrape};

const KEYS: &str = "ratelimit_keys";
const KEYS_AT_MOST: &str = "ratelimit_keys_at_most";
const OVERFLOW: &str = "ratelimit_overflow_in_use";

/// Shows what the limits keep, and reads their file again on SIGHUP, until it is dropped.
pub(crate) struct Running {
    _gauges: Gauges,
    again: Option<JoinHandle<()>>,
}

impl Limits {
    /// To be called inside the runtime, when they are a layer.
    pub(crate) fn run(&self, layer: &RateLimitLayer, methods: &Methods) -> Running {
        let handle = layer.handle();
        let again = self.file.is_some().then(|| {
            let again = on_hangup(self.clone(), handle.clone(), methods.clone());
            tokio::spawn(again)
        });
        Running { _gauges: gauges(handle), again }
    }

    /// Reads the file again. Limits that make no sense change nothing.
    fn replace(&mut self, handle: &Handle, methods: &Methods) {
        let replaced = match self.again(methods) {
            None => return,
            Some(Ok(limits)) => {
                let replaced = handle.replace(limits.rules.clone());
                replaced.map(|()| limits).map_err(|error| error.to_string())
            }
            Some(Err(error)) => Err(error),
        };
        match replaced {
            Ok(limits) => {
                *self = limits;
                tracing::info!("the limits are those of the file, as it is now");
            }
            Err(error) => tracing::error!(%error, "the limits stay as they were"),
        }
    }
}

#[cfg(unix)]
async fn on_hangup(mut limits: Limits, handle: Handle, methods: Methods) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP is not heard: the limits stay as they are");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        limits.replace(&handle, &methods);
    }
}

/// There is no such signal.
#[cfg(not(unix))]
async fn on_hangup(_: Limits, _: Handle, _: Methods) {}

fn gauges(handle: Handle) -> Gauges {
    describe_gauge!(KEYS, Unit::Count, "Keys that a limit keeps: callers, addresses, values.");
    describe_gauge!(KEYS_AT_MOST, Unit::Count, "How many keys a limit keeps at most.");
    describe_gauge!(OVERFLOW, "1 while keys for which a limit has no room share one bucket.");
    // What is not there any more is shown as 0: a series that stands still looks like one that is alive.
    let shown = Mutex::new(BTreeSet::new());
    at_each_scrape(move || {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for usage in handle.usage() {
            let Some(at_most) = usage.keys_at_most else { continue };
            let labels = (usage.rule, usage.limit);
            set(&labels, usage.keys, at_most, usage.overflow_in_use);
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in &gone {
            set(labels, 0, 0, false);
        }
    })
}

fn set((rule, limit): &(String, String), keys: usize, at_most: usize, overflow_in_use: bool) {
    let labels = [("rule", rule.clone()), ("limit", limit.clone())];
    gauge!(KEYS, &labels).set(keys as f64);
    gauge!(KEYS_AT_MOST, &labels).set(at_most as f64);
    gauge!(OVERFLOW, &labels).set(f64::from(u8::from(overflow_in_use)));
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(again) = &self.again {
            again.abort();
        }
    }
}
