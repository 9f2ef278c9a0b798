//! An enforced limit: its settings were checked, and it has the state of its keys.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic_call::{KeyHash, StoreUsage};

use super::key::Key;
use super::limit::Limit;
use super::pace::Pace;
use super::quota::Cost;
use super::rules::AnyMeasure;
use super::store::{Entry, Store};

/// A refusal contains the name several times, in headers of which clients accept 8 KiB.
const MAX_NAME_BYTES: usize = 128;

#[derive(Debug)]
pub(crate) struct Enforced {
    pub(crate) measure: Measure,
    pub(crate) key: Key,
    pub(crate) name: Box<str>,
    pub(crate) shadow: bool,
    pub(crate) per_method: bool,
    /// What the limit allows, as text for callers.
    pub(crate) description: Box<str>,
    /// The parameters of its `RateLimit-Policy`.
    pub(crate) policy: Box<str>,
    pub(crate) store: Arc<Store>,
    /// Set if replicas share it.
    #[cfg(feature = "redis")]
    pub(crate) share: Option<super::share::Share>,
}

pub(crate) enum Measure {
    Calls { pace: Pace, cost: Cost },
    InFlight { max: u32, retry_after: Option<Duration> },
}

impl Enforced {
    /// A limit without any state yet; the error says what is wrong with it.
    pub(crate) fn new(limit: &Limit<AnyMeasure>, max_keys: usize) -> Result<Self, String> {
        let name = limit.name();
        if !is_printable(&name) {
            return Err("has a name that is not printable ASCII".to_owned());
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(format!("has a name of more than {MAX_NAME_BYTES} bytes"));
        }
        let (measure, description, policy) = match &limit.measure {
            AnyMeasure::Rate(rate) => {
                let (pace, cost) = rate.enforced()?;
                (Measure::Calls { pace, cost }, rate.description(), rate.policy())
            }
            AnyMeasure::Concurrency(in_flight) => {
                if let Some(fault) = in_flight.fault() {
                    return Err(fault);
                }
                let (max, retry_after) = (in_flight.max, in_flight.retry_after);
                let measure = Measure::InFlight { max, retry_after };
                (measure, in_flight.description(), in_flight.policy())
            }
        };
        if let Some(fault) = limit.key.fault() {
            return Err(fault);
        }
        let has_keys = limit.per_method || !limit.key.is_global();
        Ok(Self {
            measure,
            key: limit.key.clone(),
            name: name.into(),
            shadow: limit.shadow,
            per_method: limit.per_method,
            description: description.into(),
            policy: policy.into(),
            store: Arc::new(Store::new(if has_keys { max_keys } else { 0 })),
            #[cfg(feature = "redis")]
            share: None,
        })
    }

    /// Whether the state of keys means the same for both. The number of calls in flight does not depend on the limit.
    pub(crate) fn counts_as(&self, other: &Self) -> bool {
        let same = match (&self.measure, &other.measure) {
            (Measure::Calls { pace, .. }, Measure::Calls { pace: other, .. }) => {
                pace.is_same(other)
            }
            (Measure::InFlight { .. }, Measure::InFlight { .. }) => true,
            _ => false,
        };
        same && self.name == other.name
            && self.key.is_same(&other.key)
            && self.per_method == other.per_method
    }

    /// Locks the state of a key.
    pub(crate) fn lock(&self, key: KeyHash, now: u64) -> Entry<'_> {
        match self.measure {
            Measure::Calls { .. } => self.store.lock_or_evict(key, |full| *full <= now),
            Measure::InFlight { .. } => self.store.lock(key),
        }
    }

    /// Removes some keys whose burst is full again.
    pub(crate) fn sweep(&self, now: u64) {
        if let Measure::Calls { .. } = self.measure {
            self.store.sweep(|full| *full <= now);
        }
    }

    /// The usage of its keys; `None` without keys.
    pub(crate) fn store_usage(&self, now: u64) -> Option<StoreUsage> {
        let is_quota = matches!(self.measure, Measure::Calls { .. });
        self.store.usage(|full| is_quota && *full <= now)
    }
}

/// Whether a text can be a string of a structured field (RFC 9651): printable ASCII.
pub(crate) fn is_printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls { pace, .. } => pace.fmt(f),
            Self::InFlight { max, .. } => write!(f, "InFlight({max})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_is_a_string() {
        for (text, printable) in
            [("a b~", true), ("", false), ("a\n", false), ("\x7f", false), ("é", false)]
        {
            assert_eq!(is_printable(text), printable, "{text:?}");
        }
    }
}
