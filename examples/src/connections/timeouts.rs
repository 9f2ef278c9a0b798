//! Timeouts of a connection: for its preface, while it has no call, and after GOAWAY.

use std::time::Duration;

use tokio::time::Instant;

use super::ConnectionLimits;
use super::activity::Activity;

/// How long a connection stays open after GOAWAY, from its last call or byte.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeouts of one connection.
pub(super) struct Timeouts<'a> {
    activity: &'a Activity,
    limits: &'a ConnectionLimits,
    /// When GOAWAY was sent.
    goaway: Option<Instant>,
}

/// The timeout that has expired.
pub(super) enum Timeout {
    Preface,
    Idle,
    Goaway,
}

impl<'a> Timeouts<'a> {
    pub(super) fn new(activity: &'a Activity, limits: &'a ConnectionLimits) -> Self {
        Self { activity, limits, goaway: None }
    }

    /// GOAWAY is sent now.
    pub(super) fn goaway_sent(&mut self) {
        self.goaway = Some(Instant::now());
    }

    pub(super) fn is_goaway_sent(&self) -> bool {
        self.goaway.is_some()
    }

    /// The timeout that applies now, and when it expires unless something happens before.
    fn current(&self) -> (Option<Instant>, Timeout) {
        let idle = self.activity.idle_since();
        match self.goaway {
            None if !self.activity.has_sent_preface() => {
                (Some(self.activity.began() + self.limits.preface_timeout), Timeout::Preface)
            }
            None => (idle.map(|since| since + self.limits.idle_timeout), Timeout::Idle),
            // The last responses may still be in transit.
            Some(goaway) => {
                let since = idle.map(|idle| idle.max(goaway).max(self.activity.last_write()));
                (since.map(|since| since + GOAWAY_TIMEOUT), Timeout::Goaway)
            }
        }
    }

    /// When to check again. The arrival of the preface and the end of a call wake no timer, so the next check is
    /// no later than the timeout that would apply after them.
    pub(super) fn next_check(&self) -> Instant {
        let now = Instant::now();
        let wait = if self.goaway.is_some() { GOAWAY_TIMEOUT } else { self.limits.idle_timeout };
        match self.current() {
            (Some(expiry), Timeout::Preface) => expiry.min(now + wait),
            (Some(expiry), _) => expiry,
            (None, _) => now + wait,
        }
    }

    /// The timeout that has expired, if one has.
    pub(super) fn expired(&self) -> Option<Timeout> {
        let (expiry, timeout) = self.current();
        expiry.is_some_and(|expiry| Instant::now() >= expiry).then_some(timeout)
    }
}
