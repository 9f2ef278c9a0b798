use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::request;
use tonic_call::Rpc;

use crate::key::Key;
use crate::pace::Pace;

/// How many calls may come in a time, and how many of them at once.
///
/// A caller has a burst of calls, which come back one after the other at the rate (GCRA). Within any time
/// *t* nobody gets more than `burst + rate · t`.
///
/// ```
/// use std::time::Duration;
/// use tonic_ratelimit_layer::{Key, Quota};
///
/// let global = Quota::per_second(1_000);
/// let per_caller = Quota::per_second(5).burst(20).by(Key::principal());
/// let reports = Quota::every(Duration::from_secs(90)).burst(2).by(Key::peer()).named("reports");
/// ```
///
/// What is impossible (a quota of nothing, a call that costs more than the burst, a rate of more than ten
/// million calls per second, a burst that takes more than ten years to come back) is an error when the
/// layer is [built](crate::RateLimitBuilder::build), or its limits are [replaced](crate::Handle::replace).
#[derive(Clone)]
pub struct Quota {
    pub(crate) calls: u32,
    pub(crate) per: Duration,
    burst: Option<u32>,
    cost: Cost,
    pub(crate) key: Key,
    name: Option<String>,
    pub(crate) shadow: bool,
    pub(crate) per_method: bool,
}

/// What one call takes.
#[derive(Clone)]
pub(crate) enum Cost {
    Fixed(u32),
    By(Arc<CostFn>),
}

type CostFn = dyn Fn(&Rpc, &request::Parts) -> u32 + Send + Sync;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

impl Quota {
    /// So many calls per second, and as many at once.
    #[must_use]
    pub fn per_second(calls: u32) -> Self {
        Self::new(calls, SECOND)
    }

    /// So many calls per minute, and as many at once.
    #[must_use]
    pub fn per_minute(calls: u32) -> Self {
        Self::new(calls, MINUTE)
    }

    /// So many calls per hour, and as many at once.
    #[must_use]
    pub fn per_hour(calls: u32) -> Self {
        Self::new(calls, HOUR)
    }

    /// One call each so long, and one at once.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self::new(1, interval)
    }

    pub(crate) fn new(calls: u32, per: Duration) -> Self {
        Self {
            calls,
            per,
            burst: None,
            cost: Cost::Fixed(1),
            key: Key::global(),
            name: None,
            shadow: false,
            per_method: false,
        }
    }

    /// Lets so many calls come at once, after a time without any. By default the number of the rate:
    /// `per_minute(10)` lets ten come at once.
    #[must_use]
    pub fn burst(self, calls: u32) -> Self {
        Self { burst: Some(calls), ..self }
    }

    /// Counts a call as so many; by default as one.
    #[must_use]
    pub fn cost(self, calls: u32) -> Self {
        Self { cost: Cost::Fixed(calls), ..self }
    }

    /// Counts each call as so many as a function says. Of 0 the quota takes nothing, and lets it pass; more
    /// than the burst can never pass. A cost that the caller names needs a floor, or his calls are free. If it
    /// panics the call counts as one, and that is logged at `ERROR`.
    ///
    /// It runs where the call comes in, before a byte of its messages is read: it must not block.
    ///
    /// ```
    /// # use tonic_ratelimit_layer::Quota;
    /// let bytes = Quota::per_second(1_000_000).cost_by(|_, head| {
    ///     let length = head.headers.get("x-upload-length").and_then(|length| length.to_str().ok());
    ///     length.and_then(|length| length.parse().ok()).unwrap_or(1_000).max(1_000)
    /// });
    /// ```
    #[must_use]
    pub fn cost_by(
        self,
        cost: impl Fn(&Rpc, &request::Parts) -> u32 + Send + Sync + 'static,
    ) -> Self {
        Self { cost: Cost::By(Arc::new(cost)), ..self }
    }

    /// Gives each key a quota of its own; by default all calls share one.
    #[must_use]
    pub fn by(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// Names it, for callers, logs and the hook; by default by its rate and key, `5/s:principal`. Two limits
    /// of one rule can't have the same name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Only tries it out: it counts, and what it would refuse is reported, and let pass.
    #[must_use]
    pub fn shadow(self) -> Self {
        Self { shadow: true, ..self }
    }

    /// Gives each method that its rule is for a quota of its own; by default they share one. Needs
    /// [`methods`](crate::RateLimitBuilder::methods): a caller could invent others. Calls of methods that
    /// are not described share one.
    #[must_use]
    pub fn per_method(self) -> Self {
        Self { per_method: true, ..self }
    }

    pub(crate) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{}:{}", Rate(self), self.key.kind()))
    }

    /// What can be enforced of it; the error says what is wrong with it.
    pub(crate) fn possible(&self) -> Result<(Pace, Cost), String> {
        let pace = Pace::new(self.calls, self.per, self.burst.unwrap_or(self.calls))?;
        match self.cost {
            Cost::Fixed(0) => Err("takes nothing: a cost of 0".to_owned()),
            Cost::Fixed(cost) if cost > pace.burst() => Err(format!(
                "lets nothing pass: a call costs {cost}, and a burst is {}",
                pace.burst()
            )),
            _ => Ok((pace, self.cost.clone())),
        }
    }

    /// How many calls a window of how many seconds holds, for `RateLimit-Policy`: the burst, in the time in
    /// which it comes back; or what comes back in a second, if that is more.
    pub(crate) fn window(&self) -> (u64, u64) {
        let burst = u128::from(self.burst.unwrap_or(self.calls));
        let (calls, per) = (u128::from(self.calls.max(1)), self.per.as_nanos());
        let back = (burst * per).div_ceil(calls * SECOND.as_nanos()).max(1);
        let whole = (back * SECOND.as_nanos() * calls) / per.max(1);
        let quota = if back == 1 { whole.max(burst) } else { burst };
        let small = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        (small(quota), small(back))
    }

    /// What it lets pass, in words.
    pub(crate) fn words(&self) -> String {
        let burst = self.burst.unwrap_or(self.calls);
        let calls = if self.calls == 1 { "call" } else { "calls" };
        let each = match self.per {
            SECOND => "per second".to_owned(),
            MINUTE => "per minute".to_owned(),
            HOUR => "per hour".to_owned(),
            per => format!("each {} s", seconds(per)),
        };
        format!("{} {calls} {each}, {burst} at once", self.calls)
    }
}

impl Cost {
    /// A call of no cost takes nothing.
    pub(crate) fn of(
        &self,
        rpc: &Rpc,
        head: &request::Parts,
        panicked: impl FnOnce(String),
    ) -> Option<NonZeroU32> {
        NonZeroU32::new(match self {
            Self::Fixed(cost) => *cost,
            Self::By(cost) => tonic_call::guarded(|| cost(rpc, head)).unwrap_or_else(|panic| {
                panicked(panic);
                1
            }),
        })
    }
}

/// The rate alone: `5/s`, `10/min`, `1/90s`.
struct Rate<'a>(&'a Quota);

impl fmt::Display for Rate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.0.calls)?;
        match self.0.per {
            SECOND => f.write_str("s"),
            MINUTE => f.write_str("min"),
            HOUR => f.write_str("h"),
            per => write!(f, "{}s", seconds(per)),
        }
    }
}

/// Seconds, with as many digits behind the point as there are.
fn seconds(time: Duration) -> String {
    let digits = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quota = f.debug_struct("Quota");
        quota.field("rate", &format_args!("{}", Rate(self))).field("key", &self.key);
        if let Some(burst) = self.burst {
            quota.field("burst", &burst);
        }
        match self.cost {
            Cost::Fixed(cost) => quota.field("cost", &cost),
            Cost::By(_) => quota.field("cost", &format_args!("by a function")),
        };
        quota.field("name", &self.name()).field("shadow", &self.shadow).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_named_by_its_rate_and_key() {
        for (quota, name) in [
            (Quota::per_second(5).by(Key::principal()), "5/s:principal"),
            (Quota::per_minute(10), "10/min:global"),
            (Quota::per_hour(1).by(Key::peer()), "1/h:peer"),
            (Quota::every(SECOND * 90).by(Key::metadata("x-a")), "1/90s:metadata"),
            (Quota::every(Duration::from_millis(1_250)), "1/1.25s:global"),
            (Quota::every(Duration::from_nanos(100)), "1/0.0000001s:global"),
            (Quota::per_second(5).named("mine"), "mine"),
        ] {
            assert_eq!(quota.name(), name);
        }
    }

    #[test]
    fn a_window_is_the_time_in_which_the_burst_comes_back() {
        for (quota, window) in [
            (Quota::per_second(5), (5, 1)),
            (Quota::per_second(3), (3, 1)),
            (Quota::per_second(5).burst(10), (10, 2)),
            (Quota::per_second(5).burst(11), (11, 3)),
            (Quota::per_second(1_000).burst(10), (1_000, 1)),
            (Quota::per_second(1_000).burst(1_000), (1_000, 1)),
            (Quota::per_minute(10), (10, 60)),
            (Quota::per_minute(10).burst(1), (1, 6)),
            (Quota::per_hour(7).burst(2), (2, 1_029)),
            (Quota::every(Duration::from_millis(250)), (4, 1)),
            (Quota::every(Duration::from_millis(1_500)), (1, 2)),
            (Quota::every(Duration::from_millis(700)), (1, 1)),
        ] {
            assert_eq!(quota.window(), window, "{quota:?}");
        }
    }

    #[test]
    fn what_a_call_costs_is_possible() {
        let wrong = |quota: Quota| quota.possible().err().unwrap_or_default();
        assert!(wrong(Quota::per_second(5).cost(0)).contains("cost of 0"));
        assert!(wrong(Quota::per_second(5).cost(6)).contains("costs 6, and a burst is 5"));
        assert!(wrong(Quota::per_second(5).burst(2).cost(3)).contains("costs 3, and a burst is 2"));
        assert_eq!(wrong(Quota::per_second(5).cost(5)), "");
        assert_eq!(wrong(Quota::per_second(5).burst(6).cost(6)), "");
        assert!(wrong(Quota::per_second(0)).contains("0 calls"));
        assert!(wrong(Quota::every(Duration::ZERO)).contains("too fast"));
    }

    #[test]
    fn a_quota_is_told_in_words() {
        assert_eq!(Quota::per_second(5).burst(10).words(), "5 calls per second, 10 at once");
        assert_eq!(Quota::per_hour(1).words(), "1 call per hour, 1 at once");
        assert_eq!(Quota::per_minute(2).words(), "2 calls per minute, 2 at once");
        assert_eq!(Quota::every(SECOND * 90).words(), "1 call each 90 s, 1 at once");
    }
}
