use std::time::Duration;

use tonic_call::{Delivery, RetryPolicy};

use super::outcome::Failure;
use crate::hook::{AttemptKind, Final};
use crate::policy::{Backoff, Pushback, Throttle, jittered};

/// Decides after each failure whether there is another attempt (gRFC A6).
#[derive(Clone, Debug)]
pub(super) struct Plan {
    policy: Option<RetryPolicy>,
    max_attempts: u64,
    waits_for_ready: bool,
    /// The attempts after the first one that the policy allowed.
    pub(super) retries: u32,
    /// The waits since the server last said how long to wait.
    waits: u32,
    /// Whether the server has not processed an attempt. It is believed once.
    was_not_processed: bool,
    /// The attempts that were never sent, since the last one that was.
    unsent: u32,
}

/// The next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) kind: AttemptKind,
    pub(super) after: Duration,
    /// Whether the call rather waits until its deadline than to fail.
    pub(super) waits: bool,
}

/// What a plan depends on that calls share.
pub(super) struct Shared<'a> {
    pub(super) throttle: Option<&'a Throttle>,
    pub(super) random: &'a dyn Fn() -> f64,
}

impl Plan {
    pub(super) fn new(
        policy: Option<RetryPolicy>,
        max_attempts: u32,
        waits_for_ready: bool,
    ) -> Self {
        Self {
            policy,
            max_attempts: max_attempts.into(),
            waits_for_ready,
            retries: 0,
            waits: 0,
            was_not_processed: false,
            unsent: 0,
        }
    }

    /// What follows this failure of a request that can be sent again, or cannot.
    pub(super) fn next(
        &mut self,
        failure: Failure,
        is_replayable: bool,
        shared: &Shared<'_>,
    ) -> Result<Again, Final> {
        if !matches!(failure.delivery, Delivery::NeverSent | Delivery::NoConnection) {
            self.unsent = 0;
        }
        if is_replayable && let Some(again) = self.transparently(failure.delivery, shared) {
            return Ok(again);
        }
        let policy = self.policy.as_ref().ok_or(Final::NoPolicy)?;
        let fails = || shared.throttle.is_none_or(Throttle::failed);
        if failure.pushback == Some(Pushback::Stop) {
            fails();
            return Err(Final::PushedBack);
        }
        if !policy.is_retryable(failure.code) {
            return Err(Final::CodeNotRetryable);
        }
        // Every failure counts, also one after which there is no attempt for another reason.
        let is_allowed = fails();
        if !is_replayable {
            return Err(Final::BufferExceeded);
        }
        if !is_allowed {
            return Err(Final::Throttled);
        }
        if u64::from(self.retries) + 1 >= policy.max_attempts().min(self.max_attempts) {
            return Err(Final::AttemptsExhausted);
        }
        let after = match failure.pushback {
            Some(Pushback::After(wait)) => {
                self.waits = 0;
                wait
            }
            _ => {
                let wait = Backoff::of(policy).after(self.waits);
                self.waits += 1;
                jittered(wait, (shared.random)())
            }
        };
        self.retries += 1;
        Ok(Again { kind: AttemptKind::Retry, after, waits: false })
    }

    /// What a caller reads whose deadline has passed.
    pub(super) fn deadline_text(&self) -> &'static str {
        match self.unsent {
            0 => "the deadline has passed",
            _ => "the deadline has passed, and there was no connection",
        }
    }

    /// Another attempt that no policy has to allow, because the server cannot have processed the last one.
    fn transparently(&mut self, delivery: Delivery, shared: &Shared<'_>) -> Option<Again> {
        let kind = AttemptKind::Transparent;
        let (at_once, waits) = match delivery {
            Delivery::NotProcessed if !self.was_not_processed => {
                self.was_not_processed = true;
                return Some(Again { kind, after: Duration::ZERO, waits: false });
            }
            // The channel connects for the next attempt.
            Delivery::NeverSent => (self.unsent == 0, true),
            Delivery::NoConnection if self.waits_for_ready => (false, true),
            _ => return None,
        };
        // A peer that accepts connections and closes them must not cause a loop without a pause.
        let wait = Backoff::OF_CONNECTIONS.after(self.unsent.saturating_sub(1));
        let after = if at_once { Duration::ZERO } else { jittered(wait, (shared.random)()) };
        self.unsent = self.unsent.saturating_add(1);
        Some(Again { kind, after, waits })
    }
}
