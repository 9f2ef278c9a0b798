use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::request;
use tonic_call::{Rpc, guarded};

use super::limit::Limit;
use super::pace::Pace;

/// How many calls may arrive in a period, and how many of them in one burst.
///
/// A caller has a burst of calls. It is refilled one call after the other, at the rate (GCRA). Within any time *t*
/// no caller gets more than `burst + rate · t` calls.
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
/// An impossible quota is an error when the layer is [built](crate::RateLimitBuilder::build) or its limits are
/// [replaced](crate::Handle::replace): no calls at all, a call that costs more than the burst, more than ten million
/// calls per second, or a burst that takes more than ten years to refill.
pub type Quota = Limit<Rate>;

/// What a [`Quota`] limits: the rate of calls.
#[derive(Clone)]
pub struct Rate {
    calls: u32,
    per: Duration,
    burst: u32,
    cost: Cost,
}

/// How many calls of the quota one call takes.
#[derive(Clone)]
pub(crate) enum Cost {
    Fixed(u32),
    By(Arc<CostFn>),
}

type CostFn = dyn Fn(&Rpc, &request::Parts) -> u32 + Send + Sync;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

impl Limit<Rate> {
    /// `calls` calls per second, with a burst of the same size.
    #[must_use]
    pub fn per_second(calls: u32) -> Self {
        Self::per(calls, SECOND)
    }

    /// `calls` calls per minute, with a burst of the same size.
    #[must_use]
    pub fn per_minute(calls: u32) -> Self {
        Self::per(calls, MINUTE)
    }

    /// `calls` calls per hour, with a burst of the same size.
    #[must_use]
    pub fn per_hour(calls: u32) -> Self {
        Self::per(calls, HOUR)
    }

    /// One call per `interval`, without a burst.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self::per(1, interval)
    }

    pub(crate) fn per(calls: u32, per: Duration) -> Self {
        Self::of(Rate { calls, per, burst: calls, cost: Cost::Fixed(1) })
    }

    /// Sets how many calls may arrive together, after a time without calls. The default is the number of the rate:
    /// `per_minute(10)` has a burst of ten.
    #[must_use]
    pub fn burst(mut self, calls: u32) -> Self {
        self.measure.burst = calls;
        self
    }

    /// Sets how many calls one call counts as; by default 1.
    #[must_use]
    pub fn cost(mut self, calls: u32) -> Self {
        self.measure.cost = Cost::Fixed(calls);
        self
    }

    /// Computes how many calls one call counts as. A call of cost 0 passes and takes nothing; a call that costs more
    /// than the burst can never pass. If the caller can choose the cost, give it a minimum, or its calls are free.
    /// If the function panics, the call counts as one, and the panic is logged at `ERROR`.
    ///
    /// The function runs before the request body is read. It must not block.
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
        mut self,
        cost: impl Fn(&Rpc, &request::Parts) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.measure.cost = Cost::By(Arc::new(cost));
        self
    }
}

impl Rate {
    /// The pace and cost to enforce; the error says what is wrong with them.
    pub(crate) fn enforced(&self) -> Result<(Pace, Cost), String> {
        let pace = Pace::new(self.calls, self.per, self.burst)?;
        match self.cost {
            Cost::Fixed(0) => Err("takes nothing: a cost of 0".to_owned()),
            Cost::Fixed(cost) if cost > pace.burst() => Err(format!(
                "lets nothing pass: a call costs {cost}, and a burst is {}",
                pace.burst()
            )),
            _ => Ok((pace, self.cost.clone())),
        }
    }

    /// The parameters of the `RateLimit-Policy` field.
    pub(crate) fn policy(&self) -> String {
        let (calls, seconds) = self.window();
        format!(";q={calls};w={seconds}")
    }

    /// How many calls fit in a window of how many seconds: the burst, in the time in which it is refilled; or what is
    /// refilled in a second, if that is more.
    fn window(&self) -> (u64, u64) {
        let burst = u128::from(self.burst);
        let (calls, per) = (u128::from(self.calls.max(1)), self.per.as_nanos());
        let refill = (burst * per).div_ceil(calls * SECOND.as_nanos()).max(1);
        let whole = (refill * SECOND.as_nanos() * calls) / per.max(1);
        let quota = if refill == 1 { whole.max(burst) } else { burst };
        let small = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        (small(quota), small(refill))
    }

    pub(crate) fn description(&self) -> String {
        let calls = if self.calls == 1 { "call" } else { "calls" };
        let period = match self.per {
            SECOND => "per second".to_owned(),
            MINUTE => "per minute".to_owned(),
            HOUR => "per hour".to_owned(),
            per => format!("per {} s", seconds(per)),
        };
        format!("{} {calls} {period}, {} at once", self.calls, self.burst)
    }
}

impl Cost {
    /// The cost of a call; `None` for a call that takes nothing.
    pub(crate) fn of(
        &self,
        rpc: &Rpc,
        head: &request::Parts,
        panicked: impl FnOnce(String),
    ) -> Option<NonZeroU32> {
        NonZeroU32::new(match self {
            Self::Fixed(cost) => *cost,
            Self::By(cost) => guarded(|| cost(rpc, head)).unwrap_or_else(|panic| {
                panicked(panic);
                1
            }),
        })
    }
}

/// The rate without the burst: `5/s`, `10/min`, `1/90s`. The first part of a limit's default name.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.calls)?;
        match self.per {
            SECOND => f.write_str("s"),
            MINUTE => f.write_str("min"),
            HOUR => f.write_str("h"),
            per => write!(f, "{}s", seconds(per)),
        }
    }
}

/// Seconds, with as many decimals as needed.
fn seconds(time: Duration) -> String {
    let digits = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rate = f.debug_struct("Rate");
        rate.field("rate", &format_args!("{self}")).field("burst", &self.burst);
        match self.cost {
            Cost::Fixed(cost) => rate.field("cost", &cost),
            Cost::By(_) => rate.field("cost", &format_args!("by a function")),
        };
        rate.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Key;

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
            assert_eq!(quota.measure.window(), window, "{quota:?}");
        }
    }

    #[test]
    fn an_impossible_cost_is_an_error() {
        let wrong = |quota: Quota| quota.measure.enforced().err().unwrap_or_default();
        assert!(wrong(Quota::per_second(5).cost(0)).contains("cost of 0"));
        assert!(wrong(Quota::per_second(5).cost(6)).contains("costs 6, and a burst is 5"));
        assert!(wrong(Quota::per_second(5).burst(2).cost(3)).contains("costs 3, and a burst is 2"));
        assert_eq!(wrong(Quota::per_second(5).cost(5)), "");
        assert_eq!(wrong(Quota::per_second(5).burst(6).cost(6)), "");
        assert!(wrong(Quota::per_second(0)).contains("0 calls"));
        assert!(wrong(Quota::every(Duration::ZERO)).contains("too fast"));
    }

    #[test]
    fn a_quota_has_a_description() {
        assert_eq!(
            Quota::per_second(5).burst(10).measure.description(),
            "5 calls per second, 10 at once"
        );
        assert_eq!(Quota::per_hour(1).measure.description(), "1 call per hour, 1 at once");
        assert_eq!(Quota::per_minute(2).measure.description(), "2 calls per minute, 2 at once");
        assert_eq!(Quota::every(SECOND * 90).measure.description(), "1 call per 90 s, 1 at once");
    }
}
