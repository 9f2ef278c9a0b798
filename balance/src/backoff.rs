//! How long to wait between two attempts to connect.

use std::time::Duration;

use crate::random::Random;

/// The times between the beginnings of two attempts (gRPC, "Connection Backoff Protocol").
#[derive(Debug)]
pub(crate) struct Backoff {
    random: Random,
    next: Duration,
}

impl Backoff {
    pub(crate) const INITIAL: Duration = Duration::from_secs(1);
    pub(crate) const MAX: Duration = Duration::from_secs(120);
    const MULTIPLIER: f64 = 1.6;
    const JITTER: f64 = 0.2;

    pub(crate) fn new(random: Random) -> Self {
        Self { random, next: Self::INITIAL }
    }

    /// After an attempt has failed: each time is longer than the last, up to the maximum.
    pub(crate) fn failed(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.mul_f64(Self::MULTIPLIER).min(Self::MAX);
        self.jittered(delay)
    }

    /// After an attempt has succeeded: a connection that lives longer than this is replaced at once when it is lost.
    pub(crate) fn succeeded(&mut self) -> Duration {
        self.next = Self::INITIAL;
        self.jittered(Self::INITIAL)
    }

    fn jittered(&self, delay: Duration) -> Duration {
        delay.mul_f64(1.0 + Self::JITTER * (2.0 * self.random.next() - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(random: f64, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::new(Random::new(move || random));
        (0..count).map(|_| backoff.failed().as_millis()).collect()
    }

    #[test]
    fn delays_grow_to_the_maximum() {
        assert_eq!(
            millis(0.5, 13),
            [
                1000, 1600, 2560, 4096, 6553, 10485, 16777, 26843, 42949, 68719, 109951, 120_000,
                120_000
            ]
        );
    }

    #[test]
    fn delays_vary_by_a_fifth() {
        assert_eq!(millis(0.0, 2), [800, 1280]);
        assert!(millis(1.0, 1)[0] >= 1199);
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new(Random::new(|| 0.5));
        backoff.failed();
        backoff.failed();
        assert_eq!(backoff.succeeded(), Duration::from_secs(1));
        assert_eq!(backoff.failed(), Duration::from_secs(1));
    }
}
