use std::time::Duration;

use tonic_call::RetryPolicy;

/// The waits between attempts, which grow up to a maximum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    initial: Duration,
    max: Duration,
    multiplier: f64,
}

impl Backoff {
    /// Between attempts to get a connection. gRPC's channels begin with a second, and go up to two minutes: they wait
    /// once for all calls. Here each call waits for itself, behind a channel that has no back-off.
    pub(crate) const OF_CONNECTIONS: Self =
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(5), multiplier: 1.6 };

    pub(crate) fn of(policy: &RetryPolicy) -> Self {
        Self {
            initial: policy.initial_backoff(),
            max: policy.max_backoff(),
            multiplier: policy.backoff_multiplier(),
        }
    }

    /// The wait before the next attempt, after this number of waits.
    pub(crate) fn after(&self, waits: u32) -> Duration {
        let factor = self.multiplier.powi(i32::try_from(waits).unwrap_or(i32::MAX));
        let wait = self.initial.as_secs_f64() * factor;
        // Also if the product is infinite.
        Duration::try_from_secs_f64(wait).map_or(self.max, |wait| wait.min(self.max))
    }
}

/// A wait of 80 to 120 percent, by a random number from zero up to one.
pub(crate) fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(initial: u64, max: u64, multiplier: f64, waits: u32) -> u128 {
        let [initial, max] = [initial, max].map(Duration::from_millis);
        Backoff { initial, max, multiplier }.after(waits).as_millis()
    }

    #[test]
    fn each_wait_is_longer_by_the_multiplier_up_to_the_maximum() {
        let waits: Vec<_> = (0..6).map(|waits| millis(100, 1_000, 2.0, waits)).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(millis(100, 1_000, 0.5, 1), 50);
        assert_eq!(millis(100, 50, 2.0, 0), 50);
    }

    #[test]
    fn no_multiplier_and_no_number_of_waits_overflows() {
        for (multiplier, waits) in [(2.0, u32::MAX), (1e308, 9), (f64::MAX, u32::MAX)] {
            assert_eq!(millis(100, 1_000, multiplier, waits), 1_000);
        }
        assert_eq!(millis(100, 1_000, 1e-300, u32::MAX), 0);
    }

    #[test]
    fn jitter_is_a_fifth_in_each_direction() {
        let second = Duration::from_secs(1);
        for (random, millis) in [(0.0, 800), (0.5, 1_000), (1.0, 1_200), (-7.0, 800), (7.0, 1_200)]
        {
            assert_eq!(jittered(second, random).as_millis(), millis);
        }
    }
}
