//! Limits of a server that runs: their gauges, and how they change.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use metrics::{Unit, describe_gauge, gauge};
use tokio::task::JoinHandle;
use tonic_call::Methods;
use tonic_ratelimit_layer::Handle;

use super::{LimitLayers, Limits};
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
    pub(crate) fn run(&self, layers: &LimitLayers, methods: &Methods) -> Running {
        let handles =
            Handles { by_address: layers.by_address.handle(), others: layers.others.handle() };
        let all =
            [&handles.by_address, &layers.in_flight.handle(), &handles.others].map(Handle::clone);
        let again = self.file.is_some().then(|| {
            let again = on_hangup(self.clone(), handles, methods.clone());
            tokio::spawn(again)
        });
        Running { _gauges: gauges(all), again }
    }

    /// Reads the file again. Limits that make no sense change nothing.
    fn replace(&mut self, handles: &Handles, methods: &Methods) {
        let Some(read) = self.again(methods) else { return };
        match read.and_then(|limits| handles.replace(limits)) {
            Ok(limits) => {
                *self = limits;
                tracing::info!("the limits are those of the file, as it is now");
            }
            Err(error) => tracing::error!(%error, "the limits stay as they were"),
        }
    }
}

/// Of the layers whose limits the file has.
struct Handles {
    by_address: Handle,
    others: Handle,
}

impl Handles {
    /// All of what was read has been built once, so that both take it.
    fn replace(&self, limits: Limits) -> Result<Limits, String> {
        for (handle, limits) in
            [(&self.by_address, &limits.by_address), (&self.others, &limits.others)]
        {
            handle.replace(limits.clone()).map_err(|error| error.to_string())?;
        }
        Ok(limits)
    }
}

#[cfg(unix)]
async fn on_hangup(mut limits: Limits, handles: Handles, methods: Methods) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP is not heard: the limits stay as they are");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        limits.replace(&handles, &methods);
    }
}

/// There is no such signal.
#[cfg(not(unix))]
async fn on_hangup(_: Limits, _: Handles, _: Methods) {}

fn gauges(handles: [Handle; 3]) -> Gauges {
    describe_gauge!(KEYS, Unit::Count, "Keys that a limit keeps: callers, addresses, values.");
    describe_gauge!(KEYS_AT_MOST, Unit::Count, "How many keys a limit keeps at most.");
    describe_gauge!(OVERFLOW, "1 while keys for which a limit has no room share one bucket.");
    // What is not there any more is shown as 0: a series that stands still looks like one that is alive.
    let shown = Mutex::new(BTreeSet::new());
    at_each_scrape(move || {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for usage in handles.iter().flat_map(Handle::usage) {
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
