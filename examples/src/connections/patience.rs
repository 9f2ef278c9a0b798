//! How long a connection is waited for: until its preface is here, while it has no call, and once it was asked to
//! close.

use std::time::Duration;

use tokio::time::Instant;

use super::Connections;
use super::activity::Activity;

/// How long one that was asked to close (GOAWAY) has, from its last call or byte on.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a connection is waited for.
pub(super) struct Patience<'a> {
    activity: &'a Activity,
    settings: &'a Connections,
    /// When it was asked to close.
    goodbye: Option<Instant>,
}

/// Why it is waited for no longer.
pub(super) enum Over {
    Silent,
    Idle,
    Goodbye,
}

impl<'a> Patience<'a> {
    pub(super) fn new(activity: &'a Activity, settings: &'a Connections) -> Self {
        Self { activity, settings, goodbye: None }
    }

    pub(super) fn goodbye(&mut self) {
        self.goodbye = Some(Instant::now());
    }

    /// When it ends, unless something happens in the meantime; and why.
    fn ends(&self) -> (Option<Instant>, Over) {
        let idle = self.activity.idle_since();
        match self.goodbye {
            None if !self.activity.has_said_hello() => {
                (Some(self.activity.began() + self.settings.hello), Over::Silent)
            }
            None => (idle.map(|since| since + self.settings.idle), Over::Idle),
            // Its last answers may still be on their way.
            Some(goodbye) => {
                let since = idle.map(|idle| idle.max(goodbye).max(self.activity.written_at()));
                (since.map(|since| since + GOODBYE), Over::Goodbye)
            }
        }
    }

    /// When to look again. A preface that comes, or a call that ends, in the meantime does not wake anybody: it
    /// is seen then. So that is not later than it could end if one did.
    pub(super) fn next(&self) -> Instant {
        let now = Instant::now();
        let wait = if self.goodbye.is_some() { GOODBYE } else { self.settings.idle };
        let (ends, why) = self.ends();
        match (ends, why) {
            (Some(ends), Over::Silent) => ends.min(now + wait),
            (Some(ends), _) => ends,
            (None, _) => now + wait,
        }
    }

    pub(super) fn is_over(&self) -> Option<Over> {
        let (at, why) = self.ends();
        at.is_some_and(|at| Instant::now() >= at).then_some(why)
    }
}
