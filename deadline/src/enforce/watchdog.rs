use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_call::{Alarm, CallInfo, Cut, Deadline, EndedBy};

use super::limit::{Limit, SetBy};
use super::stall::Stall;
use crate::refusal;

/// Ends one call at its limits, in two ways: an alarm ends it while nobody polls it, and each poll first looks at the
/// clock. tonic has timers for `grpc-timeout` on both sides that answer `CANCELLED`; without that look they would
/// often win.
pub(crate) struct Watchdog {
    cut: Cut,
    call: Option<Limit>,
    head: Option<Limit>,
    stall: Option<Arc<Stall>>,
    alarm: Option<Alarm>,
    on: On,
}

/// The side of the call.
enum On {
    /// The handler sees the deadline as [`Deadline::current`]. Until the first poll nothing has been done for the call.
    Server { has_begun: bool },
    /// Late answers are replaced.
    Client(CallInfo),
}

impl Watchdog {
    pub(crate) fn on_server(
        cut: Cut,
        call: Option<Limit>,
        head: Option<Limit>,
        stall: Option<Duration>,
    ) -> Self {
        let stall = stall.map(|limit| Arc::new(Stall::new(limit)));
        Self { cut, call, head, stall, alarm: None, on: On::Server { has_begun: false } }
    }

    pub(crate) fn on_client(cut: Cut, limit: Limit, info: CallInfo) -> Self {
        let (call, on) = (Some(limit), On::Client(info));
        let mut watchdog = Self { cut, call, head: None, stall: None, alarm: None, on };
        watchdog.set_alarm(call, None);
        watchdog
    }

    /// Polls the call, unless one of its limits has been reached: then it is cut, and the poll finds that.
    pub(crate) fn poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        match (&mut self.on, self.call.into_iter().chain(self.head).find(Limit::is_reached)) {
            // Any caller can do this, so it must not look like a failure of the service.
            (On::Server { has_begun: false }, Some(limit)) if limit.set_by == SetBy::Caller => {
                let refused = refusal::expired();
                self.cut.refuse(refused.refusal(), refused.status().clone());
            }
            (_, Some(limit)) => {
                self.cut.cut(EndedBy::Deadline, limit.status());
            }
            (On::Server { has_begun }, None) if !*has_begun => {
                *has_begun = true;
                // There is nothing to read yet.
                self.set_alarm(Limit::earlier(self.call, self.head), None);
            }
            (_, None) => {}
        }
        match self.on {
            On::Server { .. } => Deadline::enter(self.call.map(|limit| limit.deadline), poll),
            On::Client(_) => poll(),
        }
    }

    /// Whether a limit has been reached.
    pub(crate) fn is_due(&self) -> bool {
        self.call.into_iter().chain(self.head).any(|limit| limit.is_reached())
    }

    /// The status instead of the one that a call has ended with, if that only reports the deadline in other words. A
    /// server or channel whose timer fires first says `CANCELLED` ("Deadlines and cancellation" in gRPC's guide).
    pub(crate) fn instead_of(&self, code: Code) -> Option<Status> {
        let On::Client(info) = &self.on else { return None };
        if !matches!(code, Code::Cancelled | Code::DeadlineExceeded) {
            return None;
        }
        let limit = self.call.filter(|limit| limit.deadline.is_about_to_expire())?;
        info.set_ended_by(EndedBy::Deadline);
        Some(limit.status())
    }

    /// The head of the response is here, and a body that has not ended.
    pub(crate) fn responded(&mut self) {
        // Until HTTP asks for the first frame, the caller leaves no room to send it.
        self.sent();
        let had_head = self.head.take().is_some();
        if had_head || self.stall.is_some() {
            self.set_alarm(self.call, self.stall.clone());
        }
    }

    /// HTTP asks for a frame: the caller has read what it was sent.
    pub(crate) fn read(&self) {
        if let Some(stall) = &self.stall {
            stall.read();
        }
    }

    /// A frame is given to HTTP: the caller has something to read.
    pub(crate) fn sent(&self) {
        if let Some(stall) = &self.stall {
            stall.sent();
        }
    }

    pub(crate) fn watches_stalls(&self) -> bool {
        self.stall.is_some()
    }

    fn set_alarm(&mut self, limit: Option<Limit>, stall: Option<Arc<Stall>>) {
        let first_look = stall.as_ref().and_then(|stall| Instant::now().checked_add(stall.limit()));
        let at = limit.map(|limit| limit.deadline.instant()).into_iter().chain(first_look).min();
        let cut = self.cut.clone();
        self.alarm = at.map(|at| Alarm::set(at, move || ring(&cut, limit, stall.as_deref())));
    }
}

/// Ends the call, or says when to look again.
fn ring(cut: &Cut, limit: Option<Limit>, stall: Option<&Stall>) -> Option<Instant> {
    if let Some(limit) = limit.filter(|limit| limit.deadline.has_passed()) {
        cut.cut(EndedBy::Deadline, limit.status());
        return None;
    }
    let stall = stall?;
    let now = Instant::now();
    let next = match stall.ends_at() {
        Some(at) if at <= now => {
            let read_nothing = format!("the caller has read nothing for {:?}", stall.limit());
            cut.cut(EndedBy::Deadline, Status::deadline_exceeded(read_nothing));
            return None;
        }
        Some(at) => at,
        None => now.checked_add(stall.limit())?,
    };
    Some(limit.map_or(next, |limit| next.min(limit.deadline.instant())))
}
