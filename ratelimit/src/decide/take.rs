//! Takes from all limits of a call, or from none.

use std::num::NonZeroU32;
use std::time::Duration;

use smallvec::SmallVec;
use tonic_call::{EntryId, KeyHash};

use super::decision::{Reason, Source};
use crate::limits::{Enforced, Measure, Pace, Paced, SINGLE, Single};
#[cfg(feature = "redis")]
use crate::shared::Ask;

/// The checks of one call against all its limits.
pub(crate) type Checks<'a> = SmallVec<[Check<'a>; 4]>;

/// The check of one call against one limit, and its result.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    pub(crate) limit: &'a Enforced,
    pub(super) key: KeyHash,
    /// `None` takes nothing.
    cost: Option<NonZeroU32>,
    pub(super) verdict: Verdict,
    /// The state of the key, after the decision.
    pub(super) state: Option<u64>,
    pub(crate) taken: Option<EntryId>,
    /// What has decided.
    pub(crate) source: Source,
    pub(crate) overflowed: bool,
    pub(crate) wants_sweep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The limit allows the call, and this is the new state of the key.
    Allowed(Option<u64>),
    Refused(Refused),
}

/// Why a limit refuses a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The call can pass after that time.
    For(Duration),
    /// The call costs more than a burst.
    Forever,
    /// Too many other calls are in flight.
    Full,
}

impl<'a> Check<'a> {
    pub(crate) fn new(limit: &'a Enforced, key: KeyHash, cost: Option<NonZeroU32>) -> Self {
        Self {
            limit,
            key,
            cost,
            verdict: Verdict::Allowed(None),
            state: None,
            taken: None,
            source: Source::Local,
            overflowed: false,
            wants_sweep: false,
        }
    }

    /// Why the limit refuses the call, or would refuse it if it were not a shadow limit.
    pub(crate) fn refused(&self) -> Option<Refused> {
        match self.verdict {
            Verdict::Refused(refused) => Some(refused),
            Verdict::Allowed(_) => None,
        }
    }

    /// Whether the limit lets the call pass.
    pub(super) fn passes(&self) -> bool {
        self.refused().is_none() || self.limit.shadow
    }

    /// Takes from the only limit of a call, which has no keys: one atomic operation.
    fn take_from(&mut self, single: &Single, now: u64) -> bool {
        single.update(|state| {
            self.state = Some(state);
            self.verdict = self.verdict(now);
            match self.verdict {
                Verdict::Allowed(next) => next,
                Verdict::Refused(_) => None,
            }
        });
        if let Verdict::Allowed(Some(state)) = self.verdict {
            self.taken = Some(SINGLE);
            self.state = Some(state);
        }
        self.passes()
    }

    /// What Redis is asked for this check.
    #[cfg(feature = "redis")]
    pub(super) fn ask(&self, key: String) -> Option<Ask> {
        let Measure::Calls { pace, .. } = &self.limit.measure else { return None };
        let cost = self.cost.map_or(0, NonZeroU32::get);
        let interval = pace.interval();
        Some(Ask {
            key,
            take: interval.saturating_mul(cost.into()),
            capacity: interval.saturating_mul(pace.burst().into()),
            shadow: self.limit.shadow,
        })
    }

    /// Sets the result, which Redis has decided: in how many nanoseconds the burst was full before the call, and
    /// whether the call was counted.
    #[cfg(feature = "redis")]
    pub(super) fn decided(&mut self, full_in: u64, was_counted: bool, now: u64) {
        self.source = Source::Redis;
        self.state = Some(now.saturating_add(full_in));
        self.verdict = self.verdict(now);
        if let (Verdict::Allowed(Some(state)), true) = (self.verdict, was_counted) {
            self.state = Some(state);
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self.limit.measure {
            Measure::Calls { .. } => Reason::RateLimited,
            Measure::InFlight { .. } if self.limit.key.is_global() => Reason::Overloaded,
            Measure::InFlight { .. } => Reason::ConcurrencyLimited,
        }
    }

    /// How many more calls of cost 1 can pass.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        match &self.limit.measure {
            Measure::Calls { pace, .. } => self.pace(pace).remaining(self.state, now),
            Measure::InFlight { max, .. } => {
                let in_flight = u32::try_from(self.state.unwrap_or(0)).unwrap_or(u32::MAX);
                max.saturating_sub(in_flight)
            }
        }
    }

    /// In how many nanoseconds the burst is full again; not known for calls in flight.
    pub(crate) fn full_in(&self, now: u64) -> Option<u64> {
        match &self.limit.measure {
            Measure::Calls { pace, .. } => Some(self.pace(pace).full_in(self.state, now)),
            Measure::InFlight { .. } => None,
        }
    }

    /// The pace to decide by, of a quota with this one: if replicas share it, the part of this one while it decides
    /// by itself.
    #[cfg(feature = "redis")]
    fn pace<'p>(&'p self, whole: &'p Pace) -> &'p Pace {
        match (&self.limit.share, self.source) {
            (Some(share), Source::Local) => &share.pace,
            _ => whole,
        }
    }

    #[cfg(not(feature = "redis"))]
    fn pace<'p>(&self, whole: &'p Pace) -> &'p Pace {
        whole
    }

    pub(super) fn verdict(&self, now: u64) -> Verdict {
        let Some(cost) = self.cost else { return Verdict::Allowed(None) };
        match &self.limit.measure {
            Measure::Calls { pace: whole, .. } => {
                let pace = self.pace(whole);
                // What the whole quota allows, its part must not refuse for ever.
                let cost = if cost.get() > whole.burst() { cost } else { cost.min(pace.most()) };
                match pace.decide(self.state, cost, now) {
                    Paced::Yes(next) => Verdict::Allowed(Some(next)),
                    Paced::In(wait) => Verdict::Refused(Refused::For(wait)),
                    Paced::Never => Verdict::Refused(Refused::Forever),
                }
            }
            Measure::InFlight { max, .. } => match self.state.unwrap_or(0) {
                in_flight if in_flight < u64::from(*max) => Verdict::Allowed(Some(in_flight + 1)),
                _ => Verdict::Refused(Refused::Full),
            },
        }
    }
}

/// Checks all limits, and takes from each that allows the call if none refuses it. Returns whether the call passes.
///
/// `checks` are in the order in which all calls lock. A shadow limit takes as others do, but does not refuse.
pub(crate) fn take_all_or_none(checks: &mut [Check<'_>], now: u64) -> bool {
    if let [check] = checks
        && let Some(single) = check.limit.store.single()
    {
        return check.take_from(single, now);
    }
    take_from_each(checks, now, false)
}

/// Checks all limits and takes from none. Returns whether the call would pass.
#[cfg(feature = "redis")]
pub(crate) fn look_at_all(checks: &mut [Check<'_>], now: u64) -> bool {
    take_from_each(checks, now, true);
    checks.iter().all(Check::passes)
}

/// Each entry stays locked until the last limit is checked, so that no other call takes in between.
fn take_from_each(checks: &mut [Check<'_>], now: u64, is_refused: bool) -> bool {
    let Some((check, others)) = checks.split_first_mut() else { return !is_refused };
    let limit = check.limit;
    let mut entry = limit.lock(check.key, now);
    check.state = entry.get();
    check.verdict = check.verdict(now);
    let passes = take_from_each(others, now, is_refused || !check.passes());
    if passes && let Verdict::Allowed(Some(state)) = check.verdict {
        check.taken = Some(entry.set(state));
        check.state = Some(state);
    }
    check.overflowed = entry.has_overflowed();
    check.wants_sweep = entry.wants_sweep();
    passes
}
