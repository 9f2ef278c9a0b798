//! What all calls of a layer share.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic_call::{Replay, ReplayBudget, ServiceConfig, SideCheck};

use crate::hook::RetryHook;
use crate::policy::Throttle;

/// The settings of a layer. Clones share its state.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) config: ServiceConfig,
    pub(crate) max_attempts: u32,
    pub(crate) call_bytes: usize,
    pub(crate) hook: Option<Arc<dyn RetryHook>>,
    pub(crate) random: Arc<dyn Fn() -> f64 + Send + Sync>,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) budget: ReplayBudget,
    pub(crate) side_check: Arc<SideCheck>,
    warned_of_endless_wait: Arc<AtomicBool>,
}

/// The limit that gRFC A6 gives to clients.
const MAX_ATTEMPTS: u32 = 5;

impl Settings {
    pub(crate) fn new(config: &ServiceConfig) -> Self {
        Self {
            config: config.clone(),
            max_attempts: MAX_ATTEMPTS,
            call_bytes: Replay::DEFAULT_BYTES,
            hook: None,
            random: Arc::new(random),
            throttle: config.retry_throttling().map(Throttle::new).map(Arc::new),
            budget: ReplayBudget::default(),
            side_check: Arc::default(),
            warned_of_endless_wait: Arc::default(),
        }
    }

    /// Logs a warning once, in the first call of this kind.
    pub(crate) fn warn_of_endless_wait(&self) {
        if !self.warned_of_endless_wait.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tonic_retry_layer",
                "a call waits for a connection and has no deadline, so it may wait for ever: set a deadline, for \
                 example `timeout` in the service config"
            );
        }
    }
}

/// A number from zero up to one. The standard library has keys for hash maps, which differ from call to call; they need
/// not be secret here.
fn random() -> f64 {
    const BITS: u32 = f64::MANTISSA_DIGITS;
    let number = RandomState::new().hash_one(()) >> (u64::BITS - BITS);
    number as f64 / (1_u64 << BITS) as f64
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("max_attempts", &self.max_attempts)
            .field("call_bytes", &self.call_bytes)
            .field("budget", &self.budget)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_spread_from_zero_up_to_one() {
        let numbers: Vec<_> = std::iter::repeat_with(random).take(1_000).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            assert!(numbers.iter().any(|number| (low..low + 0.1).contains(number)), "{low}");
        }
    }
}
