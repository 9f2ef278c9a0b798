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
    /// Whether the server has once said that it did not process an attempt.
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
        let pauses = match delivery {
            Delivery::NotProcessed if !self.was_not_processed => {
                self.was_not_processed = true;
                return Some(Again { kind, after: Duration::ZERO, waits: false });
            }
            // The channel connects for the next attempt.
            Delivery::NeverSent => self.unsent.checked_sub(1),
            Delivery::NoConnection if self.waits_for_ready => Some(self.unsent),
            _ => return None,
        };
        // A peer that accepts connections and closes them must not cause a loop without a pause.
        let after = pauses.map_or(Duration::ZERO, |pauses| {
            jittered(Backoff::OF_CONNECTIONS.after(pauses), (shared.random)())
        });
        self.unsent = self.unsent.saturating_add(1);
        Some(Again { kind, after, waits: true })
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_call::{MethodConfig, Rpc, ServiceConfig};

    use super::*;

    /// Two attempts after a second each, for `UNAVAILABLE`.
    fn plan(waits_for_ready: bool) -> Plan {
        let json = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": 3, "initialBackoff": "1s", "maxBackoff": "1s",
            "backoffMultiplier": 1, "retryableStatusCodes": [14]
        }}]}"#;
        let config = ServiceConfig::from_json(json).expect("a config");
        let config = config.method(&Rpc::from_path(None)).and_then(MethodConfig::retry_policy);
        Plan::new(config.cloned(), 5, waits_for_ready)
    }

    fn next(plan: &mut Plan, delivery: Delivery) -> Result<(AttemptKind, u128), Final> {
        let failure = Failure { code: Code::Unavailable, delivery, pushback: None };
        let shared = Shared { throttle: None, random: &|| 0.5 };
        let again = plan.next(failure, true, &shared)?;
        Ok((again.kind, again.after.as_millis()))
    }

    const RETRY: Result<(AttemptKind, u128), Final> = Ok((AttemptKind::Retry, 1_000));

    fn transparent(after: u128) -> Result<(AttemptKind, u128), Final> {
        Ok((AttemptKind::Transparent, after))
    }

    #[test]
    fn a_server_that_has_not_processed_the_call_is_asked_again_at_once_and_then_by_policy() {
        let mut plan = plan(false);
        assert_eq!(next(&mut plan, Delivery::NotProcessed), transparent(0));
        assert_eq!(next(&mut plan, Delivery::NotProcessed), RETRY);
        assert_eq!(next(&mut plan, Delivery::NotProcessed), RETRY);
        assert_eq!(next(&mut plan, Delivery::NotProcessed), Err(Final::AttemptsExhausted));
    }

    #[test]
    fn a_call_that_is_never_sent_is_sent_again_without_end_and_with_growing_pauses() {
        let mut plan = plan(false);
        for after in [0, 100, 160, 256, 409, 655, 1_048, 1_677, 2_684, 4_294, 5_000, 5_000] {
            assert_eq!(next(&mut plan, Delivery::NeverSent), transparent(after));
        }
        // Once it was sent, the policy has all its attempts.
        assert_eq!(next(&mut plan, Delivery::Unknown), RETRY);
        assert_eq!(next(&mut plan, Delivery::NeverSent), transparent(0));
        assert_eq!(next(&mut plan, Delivery::Unknown), RETRY);
        assert_eq!(next(&mut plan, Delivery::Unknown), Err(Final::AttemptsExhausted));
    }

    #[test]
    fn without_a_connection_a_call_waits_for_one_or_fails_by_policy() {
        let mut waits = plan(true);
        for after in [100, 160, 256, 409] {
            assert_eq!(next(&mut waits, Delivery::NoConnection), transparent(after));
        }
        let mut fails_fast = plan(false);
        assert_eq!(next(&mut fails_fast, Delivery::NoConnection), RETRY);
        assert_eq!(next(&mut fails_fast, Delivery::NoConnection), RETRY);
        let exhausted = Err(Final::AttemptsExhausted);
        assert_eq!(next(&mut fails_fast, Delivery::NoConnection), exhausted);
    }

    #[test]
    fn a_request_that_is_not_kept_is_not_sent_again_even_if_it_was_not_processed() {
        let failure =
            Failure { code: Code::Unavailable, delivery: Delivery::NotProcessed, pushback: None };
        let shared = Shared { throttle: None, random: &|| 0.5 };
        let mut plan = plan(true);
        assert_eq!(plan.next(failure, false, &shared), Err(Final::BufferExceeded));
    }
}
