//! A rate that is possible, and what governor decides by it (GCRA).

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, RateLimiter, StateStore};

/// No rate is higher than one call in so many nanoseconds: rounding the interval up to whole ones then
/// costs less than a hundredth of it.
const INTERVAL_AT_LEAST: u64 = 100;

/// A burst that is used up is there again after that, at most. So no sum of times overflows.
const FULL_AGAIN_AT_MOST: u64 = 3_650 * 24 * 3_600 * 1_000_000_000;

/// The latest time that is told apart, in nanoseconds: 146 years after a clock began.
pub(crate) const LATEST: u64 = 1 << 62;

/// How many calls may come, and how fast they come back: possible values only.
///
/// What is kept of a key is one time, in nanoseconds: when its burst is whole again (GCRA's theoretical
/// arrival time). A time that is not later than now is as good as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// After which one call comes back, rounded up: nobody ever gets more than the quota.
    interval: u64,
    burst: NonZeroU32,
}

/// What is decided of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paced {
    /// It may, and this is the time to keep.
    Yes(u64),
    /// Not yet.
    In(Duration),
    /// Never: it costs more than a whole burst.
    Never,
}

impl Pace {
    /// So many calls in that time, and `burst` of them at once; the error says what is wrong.
    pub(crate) fn new(calls: u32, per: Duration, burst: u32) -> Result<Self, String> {
        if calls == 0 {
            return Err("lets nothing pass: 0 calls".to_owned());
        }
        let interval = per.as_nanos().div_ceil(calls.into());
        if per.as_nanos() < u128::from(calls) * u128::from(INTERVAL_AT_LEAST) {
            return Err(format!("is too fast: more than one call each {INTERVAL_AT_LEAST} ns"));
        }
        let Some(burst) = NonZeroU32::new(burst) else {
            return Err("lets nothing pass: a burst of 0".to_owned());
        };
        let full = interval.saturating_mul(burst.get().into());
        match u64::try_from(full) {
            Ok(full) if full <= FULL_AGAIN_AT_MOST => {
                Ok(Self { interval: full / u64::from(burst.get()), burst })
            }
            _ => Err("is too slow: its burst takes more than ten years to come back".to_owned()),
        }
    }

    pub(crate) fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Decides a call that costs so much, for a key of which that time is kept.
    pub(crate) fn decide(&self, kept: Option<u64>, cost: NonZeroU32, now: u64) -> Paced {
        if cost > self.burst {
            return Paced::Never;
        }
        let interval = Duration::from_nanos(self.interval);
        let Some(quota) = governor::Quota::with_period(interval) else { return Paced::Never };
        let quota = quota.allow_burst(self.burst);
        let clock = Reading(Cell::new(0));
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Nanos>> =
            RateLimiter::new(quota, Slot(Cell::new(kept)), clock);
        limiter.clock().0.set(now);
        match limiter.check_n(cost) {
            Ok(Ok(())) => match limiter.into_state_store().0.get() {
                Some(next) => Paced::Yes(next),
                None => Paced::Never,
            },
            Ok(Err(until)) => Paced::In(until.wait_time_from(Nanos::new(now))),
            Err(_) => Paced::Never,
        }
    }

    /// How many calls of cost 1 may come at once.
    pub(crate) fn remaining(&self, kept: Option<u64>, now: u64) -> u32 {
        let gone = self.full_in(kept, now).div_ceil(self.interval);
        self.burst.get().saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    /// How many nanoseconds it is until the burst is whole again.
    pub(crate) fn full_in(&self, kept: Option<u64>, now: u64) -> u64 {
        kept.unwrap_or(now).saturating_sub(now)
    }
}

/// The time of one decision.
struct Reading(Cell<u64>);

impl Clock for Reading {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.get())
    }
}

/// What is kept of one key, out of its store for one decision: whether it goes back there is decided
/// when all quotas of the call have said yes.
struct Slot(Cell<Option<u64>>);

impl StateStore for Slot {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(self.0.get().map(Nanos::new))?;
        self.0.set(Some(next.as_u64()));
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
    fn what_is_impossible_is_said() {
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
    fn the_limits_of_what_is_possible_are_possible() {
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
    fn what_costs_more_than_a_burst_never_passes() {
        let pace = pace(5, Duration::from_secs(1), 3);
        assert_eq!(pace.decide(None, NonZeroU32::MAX, LATEST), Paced::Never);
        assert_eq!(pace.decide(None, NonZeroU32::new(4).expect("not 0"), 0), Paced::Never);
        assert!(matches!(pace.decide(None, NonZeroU32::new(3).expect("not 0"), 0), Paced::Yes(_)));
        // No product overflows for that.
        let slow = self::pace(1, Duration::from_nanos(FULL_AGAIN_AT_MOST), 1);
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
        fn new(pace: Pace) -> Self {
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
            let (mut model, mut kept, mut now) = (Bucket::new(pace), None, 0_u64);
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
