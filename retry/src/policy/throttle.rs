use std::sync::atomic::{AtomicU32, Ordering};

use tonic_call::RetryThrottling;

/// The tokens of one server, shared by all its calls (gRFC A6, "Throttling retry attempts"). In thousandths.
#[derive(Debug)]
pub(crate) struct Throttle {
    tokens: AtomicU32,
    max: u32,
    ratio: u32,
}

const ONE_TOKEN: u32 = 1_000;

impl Throttle {
    pub(crate) fn new(settings: RetryThrottling) -> Self {
        let max = settings.max_tokens() * ONE_TOKEN;
        Self { tokens: AtomicU32::new(max), max, ratio: settings.token_ratio_thousandths() }
    }

    /// Counts a failure. Returns whether another attempt is allowed.
    pub(crate) fn failed(&self) -> bool {
        let left = self.change(|tokens| tokens.saturating_sub(ONE_TOKEN));
        left > self.max / 2
    }

    pub(crate) fn succeeded(&self) {
        self.change(|tokens| tokens.saturating_add(self.ratio).min(self.max));
    }

    /// Returns what is left.
    fn change(&self, change: impl Fn(u32) -> u32) -> u32 {
        let before = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| Some(change(tokens)));
        change(before.unwrap_or_else(|tokens| tokens))
    }
}

#[cfg(test)]
mod tests {
    use tonic_call::ServiceConfig;

    use super::*;

    fn throttle(max_tokens: u32, ratio: f64) -> Throttle {
        let json = format!(
            r#"{{"retryThrottling": {{"maxTokens": {max_tokens}, "tokenRatio": {ratio}}}}}"#
        );
        let config = ServiceConfig::from_json(&json).expect("a config");
        Throttle::new(config.retry_throttling().expect("throttling"))
    }

    #[test]
    fn attempts_stop_when_half_of_the_tokens_are_gone() {
        for (max, allowed) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (10, 4), (1_000, 499)] {
            let throttle = throttle(max, 0.1);
            for _ in 0..allowed {
                assert!(throttle.failed(), "{max}");
            }
            assert!(!throttle.failed(), "{max}");
        }
    }

    #[test]
    fn successes_return_the_ratio_exactly_and_never_more_than_the_maximum() {
        let throttle = throttle(10, 0.125);
        throttle.succeeded();
        for _ in 0..5 {
            throttle.failed();
        }
        // Five of ten are left, which is not more than half. One failure needs eight successes.
        for _ in 0..8 {
            throttle.succeeded();
        }
        assert!(!throttle.failed());
        for _ in 0..9 {
            throttle.succeeded();
        }
        assert!(throttle.failed());
    }

    #[test]
    fn no_number_of_failures_goes_below_zero() {
        let throttle = throttle(2, 2.0);
        for _ in 0..10 {
            assert!(!throttle.failed());
        }
        throttle.succeeded();
        assert!(!throttle.failed());
        throttle.succeeded();
        throttle.succeeded();
        assert!(!throttle.failed(), "one of two is not more than half");
    }
}
