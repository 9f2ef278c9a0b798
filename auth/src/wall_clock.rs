use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tonic_call::guarded;

/// The clock that credentials expire by.
///
/// Default: the system's clock. Tests set their own.
#[derive(Clone, Default)]
pub struct WallClock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl WallClock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that returns the time of `now`. If `now` panics, the system's time is used.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    /// The current time.
    pub fn now(&self) -> SystemTime {
        let Some(now) = &self.0 else { return SystemTime::now() };
        guarded(|| now()).unwrap_or_else(|_| {
            tracing::error!(target: "tonic_auth_layer", "the clock of an `AuthLayer` or a token panicked");
            SystemTime::now()
        })
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "WallClock::new" } else { "WallClock::system" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_panics_is_replaced_by_the_systems() {
        let before = SystemTime::now();
        let shown = WallClock::new(|| panic!("a clock that is broken")).now();
        assert!((before..=SystemTime::now()).contains(&shown));
    }
}
