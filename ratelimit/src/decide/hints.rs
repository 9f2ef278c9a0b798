//! Warns once if a limit cannot tell callers apart.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// After this many calls it is no coincidence.
const CALLS: u32 = 1_000;

/// What one of the first calls should have.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    remote: Awaited,
    known: Awaited,
}

/// Counts the calls without it. At [`CALLS`] the count stops.
#[derive(Debug, Default)]
struct Awaited(AtomicU32);

impl Hints {
    /// Notes a call of a limit by address.
    pub(crate) fn peer(&self, client: Option<IpAddr>) {
        if self.remote.is_missing(|| client.is_some_and(|client| !client.is_loopback())) {
            tracing::warn!(
                target: "tonic_ratelimit_layer",
                calls = CALLS,
                "a limit by address has seen only callers on loopback or without an address: they all \
                 share one limit. If there is a proxy in front, name it with `behind`, or choose another key"
            );
        }
    }

    /// Notes a call of a limit by principal.
    pub(crate) fn principal(&self, is_known: bool) {
        if self.known.is_missing(|| is_known) {
            tracing::warn!(
                target: "tonic_ratelimit_layer",
                calls = CALLS,
                "a limit by principal has seen only callers without a principal: they all share one limit. \
                 Put the authentication layer outside this one"
            );
        }
    }
}

impl Awaited {
    /// Whether this call is the last of the first calls, and none of them had it.
    fn is_missing(&self, is_here: impl FnOnce() -> bool) -> bool {
        if self.0.load(Ordering::Relaxed) >= CALLS {
            return false;
        }
        if is_here() {
            self.0.store(CALLS, Ordering::Relaxed);
            return false;
        }
        let without = |seen: u32| (seen < CALLS).then_some(seen + 1);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, without);
        before == Ok(CALLS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(here_at: Option<u32>) -> Vec<u32> {
        let awaited = Awaited::default();
        let call = |call: &u32| awaited.is_missing(|| Some(*call) == here_at);
        (1..=3 * CALLS).filter(call).collect()
    }

    #[test]
    fn what_no_call_has_is_missing_once() {
        assert_eq!(missing(None), [CALLS]);
        assert_eq!(missing(Some(CALLS + 1)), [CALLS]);
    }

    #[test]
    fn what_one_call_has_is_not_missing() {
        for at in [1, 2, CALLS - 1, CALLS] {
            assert_eq!(missing(Some(at)), [0; 0], "{at}");
        }
    }
}
