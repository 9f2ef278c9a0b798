//! Takes from all limits of a call, or from none.

use std::num::NonZeroU32;
use std::time::Duration;

use smallvec::SmallVec;

use crate::caller::Hashed;
use crate::decision::Reason;
use crate::pace::Paced;
use crate::store::Place;
use crate::table::{Limit, Measure};

/// All that one call asks of its limits.
pub(crate) type Asks<'a> = SmallVec<[Ask<'a>; 4]>;

/// What one call asks of one limit, and what became of it.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) limit: &'a Limit,
    key: Hashed,
    /// `None` takes nothing.
    cost: Option<NonZeroU32>,
    verdict: Verdict,
    /// What is kept of the key, after the decision.
    kept: Option<u64>,
    pub(crate) taken: Option<Place>,
    pub(crate) overflowed: bool,
    pub(crate) wants_tidying: bool,
}

/// What a limit says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It may, and this is to be kept then.
    Yes(Option<u64>),
    No(Refused),
}

/// Why a limit says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It may after that time.
    For(Duration),
    /// It costs more than the limit ever has.
    Forever,
    /// Others are under way.
    Full,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(limit: &'a Limit, key: Hashed, cost: Option<NonZeroU32>) -> Self {
        Self {
            limit,
            key,
            cost,
            verdict: Verdict::Yes(None),
            kept: None,
            taken: None,
            overflowed: false,
            wants_tidying: false,
        }
    }

    /// Why the limit says no, in shadow mode or not.
    pub(crate) fn refused(&self) -> Option<Refused> {
        match self.verdict {
            Verdict::No(refused) => Some(refused),
            Verdict::Yes(_) => None,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self.limit.measure {
            Measure::Calls { .. } => Reason::RateLimited,
            Measure::InFlight { .. } if self.limit.key.is_global() => Reason::Overloaded,
            Measure::InFlight { .. } => Reason::ConcurrencyLimited,
        }
    }

    /// How many more calls of cost 1 it lets pass.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        match &self.limit.measure {
            Measure::Calls { pace, .. } => pace.remaining(self.kept, now),
            Measure::InFlight { at_most, .. } => {
                let in_flight = u32::try_from(self.kept.unwrap_or(0)).unwrap_or(u32::MAX);
                at_most.saturating_sub(in_flight)
            }
        }
    }

    /// In how many nanoseconds it is as if nobody had called; of calls in flight nobody knows.
    pub(crate) fn full_in(&self, now: u64) -> Option<u64> {
        match &self.limit.measure {
            Measure::Calls { pace, .. } => Some(pace.full_in(self.kept, now)),
            Measure::InFlight { .. } => None,
        }
    }

    fn judge(&self, now: u64) -> Verdict {
        let Some(cost) = self.cost else { return Verdict::Yes(None) };
        match &self.limit.measure {
            Measure::Calls { pace, .. } => match pace.decide(self.kept, cost, now) {
                Paced::Yes(next) => Verdict::Yes(Some(next)),
                Paced::In(wait) => Verdict::No(Refused::For(wait)),
                Paced::Never => Verdict::No(Refused::Forever),
            },
            Measure::InFlight { at_most, .. } => match self.kept.unwrap_or(0) {
                in_flight if in_flight < u64::from(*at_most) => Verdict::Yes(Some(in_flight + 1)),
                _ => Verdict::No(Refused::Full),
            },
        }
    }
}

/// Asks all limits, and takes from each that says yes if none refuses. Says whether the call may pass.
///
/// Each bucket is locked until the last was asked, so that no other call takes in between. `asks` are in the
/// order in which all calls lock. A limit in shadow mode takes as others do, but does not refuse.
pub(crate) fn settle(asks: &mut [Ask<'_>], now: u64, is_refused: bool) -> bool {
    let Some((ask, others)) = asks.split_first_mut() else { return !is_refused };
    let mut bucket = ask.limit.store.lock(ask.key, now);
    ask.kept = bucket.number();
    ask.verdict = ask.judge(now);
    let refuses = ask.refused().is_some() && !ask.limit.shadow;
    let passes = settle(others, now, is_refused || refuses);
    if passes && let Verdict::Yes(Some(number)) = ask.verdict {
        ask.taken = Some(bucket.put(number));
        ask.kept = Some(number);
    }
    ask.overflowed = bucket.is_overflow();
    ask.wants_tidying = bucket.wants_tidying();
    passes
}
