//! A possible rate, and how governor decides by it (GCRA).

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;

/// The shortest interval, in nanoseconds: rounding the interval up to a whole number then costs less than a
/// hundredth of the rate.
const MIN_INTERVAL: u64 = 100;

/// The longest time in which a burst is refilled, in nanoseconds, so that no sum of times overflows.
const MAX_REFILL: u64 = 3_650 * 24 * 3_600 * 1_000_000_000;

/// The latest time of a clock, in nanoseconds: 146 years after it started.
pub(crate) const LATEST: u64 = 1 << 62;

/// A rate and a burst that are possible.
///
/// The state of a key is one time, in nanoseconds: when its burst is full again (GCRA's theoretical arrival time). A
/// time that has passed is equal to no state.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time in which one call is refilled, rounded up: no caller gets more than the quota.
    interval: u64,
    burst: NonZeroU32,
    limiter: RateLimiter<FullIn, StateInKey, ZeroClock, NoOpMiddleware<Nanos>>,
}

/// The decision for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paced {
    /// It passes, and this is the new state of its key.
    Yes(u64),
    /// It can pass after this time.
    In(Duration),
    /// It can never pass: it costs more than a burst.
    Never,
}

impl Pace {
    /// `calls` per period, and `burst` of them together; the error says what is wrong.
    pub(crate) fn new(calls: u32, per: Duration, burst: u32) -> Result<Self, String> {
        if calls == 0 {
            return Err("lets nothing pass: 0 calls".to_owned());
        }
        let interval = per.as_nanos().div_ceil(calls.into());
        if per.as_nanos() < u128::from(calls) * u128::from(MIN_INTERVAL) {
            return Err(format!("is too fast: more than one call per {MIN_INTERVAL} ns"));
        }
        let Some(burst) = NonZeroU32::new(burst) else {
            return Err("lets nothing pass: a burst of 0".to_owned());
        };
        let refill = interval.saturating_mul(burst.get().into());
        let interval = match u64::try_from(refill) {
            Ok(refill) if refill <= MAX_REFILL => refill / u64::from(burst.get()),
            _ => {
                return Err("is too slow: its burst takes more than ten years to refill".to_owned());
            }
        };
        let quota = governor::Quota::with_period(Duration::from_nanos(interval));
        let quota = quota.ok_or("is too fast")?.allow_burst(burst);
        Ok(Self { interval, burst, limiter: RateLimiter::new(quota, StateInKey, ZeroClock) })
    }

    pub(crate) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// The burst, as the most that a call can cost.
    pub(crate) fn most(&self) -> NonZeroU32 {
        self.burst
    }

    /// The time in which one call is refilled, in nanoseconds.
    #[cfg(feature = "redis")]
    pub(crate) fn interval(&self) -> u64 {
        self.interval
    }

    /// The part of one of so many replicas. Its burst is at least 1.
    #[cfg(feature = "redis")]
    pub(crate) fn share(&self, replicas: u32) -> Result<Self, String> {
        let interval = Duration::from_nanos(self.interval) * replicas;
        Self::new(1, interval, (self.burst() / replicas).max(1))
    }

    /// Whether the states of keys mean the same for both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.interval, self.burst) == (other.interval, other.burst)
    }

    /// Decides a call of that cost, for a key in that state.
    pub(crate) fn decide(&self, state: Option<u64>, cost: NonZeroU32, now: u64) -> Paced {
        // governor would multiply such a cost, and overflow.
        if cost > self.burst {
            return Paced::Never;
        }
        let full_in = FullIn(Cell::new(self.full_in(state, now)));
        match self.limiter.check_key_n(&full_in, cost) {
            Ok(Ok(())) => Paced::Yes(now + full_in.0.get()),
            Ok(Err(until)) => Paced::In(until.wait_time_from(ZeroClock.now())),
            Err(_) => Paced::Never,
        }
    }

    /// How many calls of cost 1 can pass now.
    pub(crate) fn remaining(&self, state: Option<u64>, now: u64) -> u32 {
        let used = self.full_in(state, now).div_ceil(self.interval);
        self.burst.get().saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// In how many nanoseconds the burst is full again.
    pub(crate) fn full_in(&self, state: Option<u64>, now: u64) -> u64 {
        state.unwrap_or(now).saturating_sub(now)
    }
}

/// governor's clock: every decision happens at time 0. The time is in the state instead.
#[derive(Debug)]
struct ZeroClock;

/// governor's key, which is the state itself, as the time from now until the burst is full again.
///
/// So one limiter serves all keys without storing any. The decision does not store the new state: that happens when
/// all limits of the call allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FullIn(Cell<u64>);

/// governor's store: the state is in the key.
#[derive(Debug)]
struct StateInKey;

impl Clock for ZeroClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}

/// governor requires it of keys, and does not call it.
impl Hash for FullIn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

impl StateStore for StateInKey {
    type Key = FullIn;

    fn measure_and_replace<T, F, E>(&self, full_in: &FullIn, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(Some(Nanos::new(full_in.0.get())))?;
        full_in.0.set(next.as_u64());
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(calls: u32, per: Duration, burst: u32) -> Pace {
        Pace::new(calls, per, burst).expect("a possible rate")
    }

    fn one() -> NonZeroU32 {
        NonZeroU32::MIN
    }

    #[test]
    fn an_impossible_rate_is_an_error() {
        let second = Duration::from_secs(1);
        let year = second * 3_600 * 24 * 365;
        for (calls, per, burst, wrong) in [
            (0, second, 1, "0 calls"),
            (1, second, 0, "burst of 0"),
            (1, Duration::ZERO, 1, "too fast"),
            (10_000_001, second, 1, "too fast"),
            (u32::MAX, Duration::from_secs(60), 1, "too fast"),
            (1, Duration::from_nanos(99), 1, "too fast"),
            (1, year * 11, 1, "too slow"),
            (1, year, 11, "too slow"),
            (1, Duration::MAX, u32::MAX, "too slow"),
            (1, Duration::MAX, 1, "too slow"),
            (1, second, u32::MAX, "too slow"),
        ] {
            let error = Pace::new(calls, per, burst).expect_err("impossible");
            assert!(error.contains(wrong), "{calls} {per:?} {burst}: {error}");
        }
    }

    #[test]
    fn the_most_extreme_rates_are_possible() {
        let second = Duration::from_secs(1);
        for (calls, per, burst) in [
            (10_000_000, second, u32::MAX),
            (1, Duration::from_nanos(100), 1),
            (1, second * 3_600 * 24 * 3_650, 1),
            (u32::MAX, Duration::from_secs(3_600), u32::MAX),
        ] {
            let pace = pace(calls, per, burst);
            // The sums that governor makes do not overflow, at the latest time that there is.
            let Paced::Yes(next) = pace.decide(None, pace.burst, LATEST) else { panic!("refused") };
            assert_eq!(next, LATEST + pace.interval * u64::from(burst));
            let Paced::In(wait) = pace.decide(Some(next), pace.burst, LATEST) else {
                panic!("passed")
            };
            assert_eq!(wait.as_nanos(), u128::from(next - LATEST));
        }
    }

    #[test]
    fn an_interval_is_rounded_up_and_that_costs_less_than_a_hundredth() {
        for calls in [3, 7, 999_983, 9_900_001, 9_999_999, 10_000_000] {
            let granted = 1e9 / pace(calls, Duration::from_secs(1), 1).interval as f64;
            assert!(granted <= calls.into(), "{calls}: {granted}");
            assert!(granted >= f64::from(calls) * 0.99, "{calls}: {granted}");
        }
    }

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let pace = pace(5, Duration::from_secs(1), 3);
        let (mut kept, now) = (None, 1_000);
        for remaining in [2, 1, 0] {
            let Paced::Yes(next) = pace.decide(kept, one(), now) else { panic!("refused") };
            kept = Some(next);
            assert_eq!(pace.remaining(kept, now), remaining);
        }
        let wait = Duration::from_millis(200);
        assert_eq!(pace.decide(kept, one(), now), Paced::In(wait));
        assert_eq!(pace.decide(kept, one(), now + 199_999_999), Paced::In(Duration::from_nanos(1)));
        assert!(matches!(pace.decide(kept, one(), now + 200_000_000), Paced::Yes(_)));
        assert_eq!(pace.full_in(kept, now), 600_000_000);
    }

    #[test]
    fn a_call_that_costs_more_than_a_burst_never_passes() {
        let pace = pace(5, Duration::from_secs(1), 3);
        assert_eq!(pace.decide(None, NonZeroU32::MAX, LATEST), Paced::Never);
        assert_eq!(pace.decide(None, NonZeroU32::new(4).expect("not 0"), 0), Paced::Never);
        assert!(matches!(pace.decide(None, NonZeroU32::new(3).expect("not 0"), 0), Paced::Yes(_)));
        // No product overflows for that.
        let slow = self::pace(1, Duration::from_nanos(MAX_REFILL), 1);
        assert_eq!(slow.decide(None, NonZeroU32::MAX, LATEST), Paced::Never);
    }

    /// The same, by fractions of calls: a bucket that holds `burst`, and gets one each interval.
    struct Bucket {
        interval: i128,
        burst: i128,
        /// In nanoseconds of filling.
        level: i128,
        at: i128,
    }

    impl Bucket {
        fn new(pace: &Pace) -> Self {
            let (interval, burst) = (pace.interval.into(), pace.burst.get().into());
            Self { interval, burst, level: interval * burst, at: 0 }
        }

        /// How long it is until a call may pass; `None` is never.
        fn take(&mut self, cost: u32, now: u64) -> Option<i128> {
            let filled = self.level + (i128::from(now) - self.at).max(0);
            (self.level, self.at) = (filled.min(self.interval * self.burst), now.into());
            let price = self.interval * i128::from(cost);
            if i128::from(cost) > self.burst {
                return None;
            }
            let wait = price - self.level;
            if wait <= 0 {
                self.level -= price;
            }
            Some(wait.max(0))
        }
    }

    proptest! {
        #[test]
        fn it_decides_as_a_bucket_that_is_filled(
            calls in 1_u32..2_000,
            per in prop_oneof![Just(1_u64), Just(60), Just(3_600), 1_u64..1_000_000],
            burst in 1_u32..50,
            steps in proptest::collection::vec(
                (prop_oneof![0_u64..5_000_000_000, Just(0), any::<u32>().prop_map(|far| u64::from(far) << 28)], 1_u32..60),
                1..80,
            ),
        ) {
            let Ok(pace) = Pace::new(calls, Duration::from_secs(per), burst) else { return Ok(()) };
            let (mut model, mut kept, mut now) = (Bucket::new(&pace), None, 0_u64);
            for (later, cost) in steps {
                now = (now + later).min(LATEST);
                let expected = model.take(cost, now);
                let decided = pace.decide(kept, NonZeroU32::new(cost).expect("not 0"), now);
                match (decided, expected) {
                    (Paced::Yes(next), Some(0)) => kept = Some(next),
                    (Paced::In(wait), Some(expected)) => {
                        prop_assert_eq!(wait.as_nanos() as i128, expected);
                        prop_assert!(expected > 0);
                    }
                    (Paced::Never, None) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
                prop_assert_eq!(i128::from(pace.remaining(kept, now)), model.level / model.interval);
            }
        }
    }
}
