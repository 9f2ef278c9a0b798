//! Limits how many lines about refused calls are written per second.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tonic_call::{Rpc, Side, code_name, sanitize};
use tracing::{Dispatch, Level, dispatcher};

use crate::facts::component;
use crate::finished::Finished;
use crate::key::Key;
use crate::level::{LEVELS, index_of};
use crate::member::{Line, MemberValue, Members};
use crate::outputs::Outputs;
use crate::site::Site;

/// How many pairs of method and reason are counted separately. Any further ones are counted together.
const MAX_GROUPS: usize = 1_024;

const WINDOW: Duration = Duration::from_secs(1);

/// The key of the number of lines that were left out.
const LEFT_OUT: &str = "grpc.refusals_left_out";

/// Keeps a number of lines per second and group, and counts the others.
#[derive(Clone)]
pub(crate) struct RefusalLimit(Arc<Inner>);

struct Inner {
    per_second: u32,
    sites: [&'static Site; LEVELS.len()],
    groups: Mutex<HashMap<Group, Window>>,
}

/// The refusals that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Group {
    /// The index of a known method. All unknown methods are `None`, so that callers cannot add groups.
    method: Option<usize>,
    by: &'static str,
    reason: Cow<'static, str>,
}

/// The refusals of one group in one second, which starts with the first of them.
struct Window {
    since: Instant,
    written: u32,
    left_out: u64,
    /// The most severe level among the lines that were left out.
    level: Level,
    method: Option<Box<str>>,
    side: Side,
}

/// The contents of a line that reports how many others were left out.
struct LeftOut {
    side: Side,
    method: Option<Box<str>>,
    by: &'static str,
    reason: String,
    count: u64,
    level: Level,
}

/// Reports, when dropped, what was left out in a window, unless a later refusal has reported it already.
///
/// A task drops it when the window is over, or when the runtime shuts down.
struct Report {
    limit: RefusalLimit,
    group: Group,
    since: Instant,
    outputs: Outputs,
    /// The subscriber of the lines that are left out: the task may run on a thread that has another.
    dispatch: Dispatch,
}

impl RefusalLimit {
    pub(crate) fn per_second(per_second: u32) -> Self {
        let sites = LEVELS.map(|level| Site::of("refusals left out", level, &[LEFT_OUT]));
        Self(Arc::new(Inner { per_second, sites, groups: Mutex::default() }))
    }

    /// Whether the line of this call is written. If not, it is counted.
    pub(crate) fn keeps(&self, finished: &Finished<'_>, level: Level, outputs: &Outputs) -> bool {
        let Some((by, reason)) = refused(finished) else { return true };
        let (keeps, before, report) =
            self.count(finished, Group::of(finished.rpc(), by, reason), level);
        // Lines are written, and tasks spawned, without the lock: a subscriber may do anything.
        if let Some(before) = before {
            self.write(&before, outputs);
        }
        if let Some((group, since)) = report
            && let Ok(runtime) = Handle::try_current()
        {
            let outputs = outputs.clone();
            let dispatch = dispatcher::get_default(Clone::clone);
            let report = Report { limit: self.clone(), group, since, outputs, dispatch };
            runtime.spawn(async move {
                sleep_until(since + WINDOW).await;
                drop(report);
            });
        }
        keeps
    }

    /// Counts one refusal. Returns whether its line is written; what was left out in an earlier window and
    /// is not yet reported; and the window to report on, if this is the first line left out in it.
    fn count(
        &self,
        finished: &Finished<'_>,
        group: Group,
        level: Level,
    ) -> (bool, Option<LeftOut>, Option<(Group, Instant)>) {
        let now = Instant::now();
        let mut groups = self.lock();
        let group = make_room(&mut groups, group, now);
        let window = match groups.entry(group.clone()) {
            Entry::Occupied(window) => window.into_mut(),
            Entry::Vacant(entry) => {
                let method = group.method.map(|_| finished.rpc().full().into());
                entry.insert(Window::new(now, level, method, finished.side()))
            }
        };
        let mut before = None;
        if window.is_over(now) {
            before = window.take(&group);
            (window.since, window.written) = (now, 0);
        }
        if window.written < self.0.per_second {
            window.written += 1;
            return (true, before, None);
        }
        let is_first = window.left_out == 0;
        // A more severe level is the smaller one.
        window.level = if is_first { level } else { window.level.min(level) };
        window.left_out += 1;
        (false, before, is_first.then_some((group, window.since)))
    }

    fn write(&self, left_out: &LeftOut, outputs: &Outputs) {
        if let Some(sinks) = outputs.sinks(self.0.sites[index_of(left_out.level)]) {
            sinks.write(left_out);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Group, Window>> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let left_out = {
            let mut groups = self.limit.lock();
            let window = groups.get_mut(&self.group).filter(|window| window.since == self.since);
            window.and_then(|window| window.take(&self.group))
        };
        if let Some(left_out) = left_out {
            let write = || self.limit.write(&left_out, &self.outputs);
            dispatcher::with_default(&self.dispatch, write);
        }
    }
}

impl Group {
    fn of(rpc: &Rpc, by: &'static str, reason: Cow<'static, str>) -> Self {
        Self { method: rpc.known().map(|known| known.index), by, reason }
    }

    fn others() -> Self {
        Self { method: None, by: "others", reason: Cow::Borrowed("others") }
    }
}

impl Window {
    fn new(now: Instant, level: Level, method: Option<Box<str>>, side: Side) -> Self {
        Self { since: now, written: 0, left_out: 0, level, method, side }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }

    fn take(&mut self, group: &Group) -> Option<LeftOut> {
        let count = std::mem::take(&mut self.left_out);
        (count != 0).then(|| LeftOut {
            side: self.side,
            method: self.method.as_deref().map(|method| sanitize(method).into()),
            by: group.by,
            reason: sanitize(&*group.reason).into_owned(),
            count,
            level: self.level,
        })
    }
}

impl Line for LeftOut {
    fn list<'v>(&'v self, members: &mut impl Members<'v>) {
        members.plain(Key::Message, "refusals left out");
        members.plain(Key::System, "grpc");
        members.text(Key::Method, self.method.as_deref());
        members.plain(Key::Component, component(self.side));
        members.text(Key::RefusedBy, Some(self.by));
        members.text(Key::RefusedReason, Some(&self.reason));
        members.add(Key::NAMES.len(), MemberValue::Unsigned(self.count));
    }
}

/// This group, if it is counted already or there is room for it; else the group of all others.
fn make_room(groups: &mut HashMap<Group, Window>, group: Group, now: Instant) -> Group {
    if groups.len() < MAX_GROUPS || groups.contains_key(&group) {
        return group;
    }
    // The window of the others starts when room was last looked for: once per second is enough.
    if groups.get(&Group::others()).is_none_or(|others| others.is_over(now)) {
        groups.retain(|_, window| window.left_out != 0 || !window.is_over(now));
    }
    if groups.len() < MAX_GROUPS { group } else { Group::others() }
}

/// The layer that refused the call, and the reason. If no layer refused it, but any caller can cause this failure
/// without credentials: what ended the call, and its code.
fn refused(finished: &Finished<'_>) -> Option<(&'static str, Cow<'static, str>)> {
    if let Some(by) = finished.refused_by() {
        return Some((by, finished.refused_reason().unwrap_or(Cow::Borrowed("unknown"))));
    }
    let anyone_can_cause_it = finished.is_failure_of_unknown_path()
        || finished.is_http_client_error()
        || (finished.side() == Side::Server
            && finished.rpc().is_infrastructure()
            && finished.has_failed_as_infrastructure());
    anyone_can_cause_it
        .then(|| (finished.ended_by().as_str(), Cow::Borrowed(code_name(finished.code()))))
}

impl fmt::Debug for RefusalLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalLimit")
            .field("per_second", &self.0.per_second)
            .finish_non_exhaustive()
    }
}
