use std::time::Duration;

use tokio::time::Instant;

/// How long a call takes, by the clock that all layers share: tokio's, so that tests can pause it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since its start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
