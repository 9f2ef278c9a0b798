//! How many lines of refusals are written in a second.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tonic_call::{Rpc, Side, code_name};
use tracing::{Dispatch, Level, dispatcher};

use crate::finished::Finished;
use crate::level::{LEVELS, place};
use crate::line;
use crate::site::Site;

/// How many methods and reasons are counted apart. All further ones are counted as one.
const APART_AT_MOST: usize = 1_024;

const SECOND: Duration = Duration::from_secs(1);

/// The key of the line that says how many were left out, beside those of every line.
const LEFT_OUT: &str = "grpc.refusals_left_out";

/// Lets so many lines pass per second, and counts the others.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Inner>);

struct Inner {
    per_second: u32,
    sites: [&'static Site; LEVELS.len()],
    apart: Mutex<HashMap<Sort, Second>>,
}

/// Which refusals are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sort {
    /// The index of a known method. All others are one, however many names a stranger invents.
    method: Option<usize>,
    by: &'static str,
    reason: Cow<'static, str>,
}

/// The refusals of one sort, in the second that began with the first of them.
struct Second {
    since: Instant,
    written: u32,
    left_out: u64,
    /// The loudest of those that were left out.
    level: Level,
    method: Option<Box<str>>,
    side: Side,
}

/// How many lines were left out, to be said.
pub(crate) struct LeftOut {
    pub(crate) side: Side,
    pub(crate) method: Option<Box<str>>,
    pub(crate) by: &'static str,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) count: u64,
    level: Level,
}

/// Says at the end of a second what was left out in it, if no later refusal has said it before.
///
/// When the runtime ends earlier, the task is dropped, and says it then.
struct AtTheEnd {
    refusals: Refusals,
    sort: Sort,
    since: Instant,
    /// Where the lines go that are left out: the task may run on a thread that has another subscriber.
    dispatch: Dispatch,
}

impl Refusals {
    pub(crate) fn per_second(per_second: u32) -> Self {
        let sites = LEVELS.map(|level| Site::of("refusals left out", level, &[LEFT_OUT]));
        Self(Arc::new(Inner { per_second, sites, apart: Mutex::default() }))
    }

    /// Whether the line of this call is written. The others are counted.
    pub(crate) fn keeps(&self, finished: &Finished<'_>, level: Level) -> bool {
        let Some((by, reason)) = refused(finished) else { return true };
        let (keeps, before, end) =
            self.count(finished, Sort::of(finished.rpc(), by, reason), level);
        // Nothing is written and no task is started under the lock: a subscriber may do anything.
        if let Some(before) = before {
            self.write(&before);
        }
        if let Some((sort, since)) = end
            && let Ok(runtime) = Handle::try_current()
        {
            let dispatch = dispatcher::get_default(Clone::clone);
            let end = AtTheEnd { refusals: self.clone(), sort, since, dispatch };
            runtime.spawn(async move {
                sleep_until(since + SECOND).await;
                drop(end);
            });
        }
        keeps
    }

    /// Counts one, and says whether it is written; what was left out in a second before and is not said yet;
    /// and which second is to be ended, if it is the first that is left out in it.
    fn count(
        &self,
        finished: &Finished<'_>,
        sort: Sort,
        level: Level,
    ) -> (bool, Option<LeftOut>, Option<(Sort, Instant)>) {
        let now = Instant::now();
        let mut apart = self.lock();
        let sort = make_room(&mut apart, sort, now);
        let second = match apart.entry(sort.clone()) {
            Entry::Occupied(second) => second.into_mut(),
            Entry::Vacant(place) => {
                let rpc = finished.rpc();
                let method = sort.method.map(|_| rpc.full().into());
                place.insert(Second::begun(now, level, method, finished.side()))
            }
        };
        let mut before = None;
        if second.is_over(now) {
            before = second.take(&sort);
            (second.since, second.written) = (now, 0);
        }
        if second.written < self.0.per_second {
            second.written += 1;
            return (true, before, None);
        }
        let is_first = second.left_out == 0;
        // A louder level is less.
        second.level = if is_first { level } else { second.level.min(level) };
        second.left_out += 1;
        (false, before, is_first.then_some((sort, second.since)))
    }

    fn write(&self, left_out: &LeftOut) {
        let site = self.0.sites[place(left_out.level)];
        if site.is_heard() {
            line::left_out(site, left_out);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sort, Second>> {
        self.0.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let left_out = {
            let mut apart = self.refusals.lock();
            let second = apart.get_mut(&self.sort).filter(|second| second.since == self.since);
            second.and_then(|second| second.take(&self.sort))
        };
        if let Some(left_out) = left_out {
            dispatcher::with_default(&self.dispatch, || self.refusals.write(&left_out));
        }
    }
}

impl Sort {
    fn of(rpc: &Rpc, by: &'static str, reason: Cow<'static, str>) -> Self {
        Self { method: rpc.known().map(|known| known.index), by, reason }
    }

    fn others() -> Self {
        Self { method: None, by: "others", reason: Cow::Borrowed("others") }
    }
}

impl Second {
    fn begun(now: Instant, level: Level, method: Option<Box<str>>, side: Side) -> Self {
        Self { since: now, written: 0, left_out: 0, level, method, side }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= SECOND
    }

    fn take(&mut self, sort: &Sort) -> Option<LeftOut> {
        let count = std::mem::take(&mut self.left_out);
        (count != 0).then(|| LeftOut {
            side: self.side,
            method: self.method.clone(),
            by: sort.by,
            reason: sort.reason.clone(),
            count,
            level: self.level,
        })
    }
}

/// That sort, if it is counted or there is room for it; else the one of all others.
fn make_room(apart: &mut HashMap<Sort, Second>, sort: Sort, now: Instant) -> Sort {
    if apart.len() < APART_AT_MOST || apart.contains_key(&sort) {
        return sort;
    }
    // The others' own second is that of the last time that room was looked for: once a second is enough.
    if apart.get(&Sort::others()).is_none_or(|others| others.is_over(now)) {
        apart.retain(|_, second| second.left_out != 0 || !second.is_over(now));
    }
    if apart.len() < APART_AT_MOST { sort } else { Sort::others() }
}

/// Which layer refused a call and why; or, of a call that no layer has refused, but that a stranger can make
/// fail without any credentials, that its service did, with which code.
fn refused(finished: &Finished<'_>) -> Option<(&'static str, Cow<'static, str>)> {
    if let Some(by) = finished.refused_by() {
        return Some((by, finished.refused_reason().unwrap_or(Cow::Borrowed("unknown"))));
    }
    let anybody_can = finished.is_failure_of_unknown_path()
        || finished.is_not_understood()
        || (finished.side() == Side::Server
            && finished.rpc().is_infrastructure()
            && finished.has_failed_as_infrastructure());
    anybody_can.then(|| (finished.ended_by().as_str(), Cow::Borrowed(code_name(finished.code()))))
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").field("per_second", &self.0.per_second).finish_non_exhaustive()
    }
}
