//! What an operator is told, once, because a limit can hardly do what it is there for.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// After so many calls it is no longer chance.
const CALLS: u32 = 1_000;

/// What is still waited for of the first calls.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    remote: Awaited,
    known: Awaited,
}

/// Something that one of the first calls should have. Counts those without; at [`CALLS`] it is decided.
#[derive(Debug, Default)]
struct Awaited(AtomicU32);

impl Hints {
    /// An address limit has seen a call from there.
    pub(crate) fn peer(&self, client: Option<IpAddr>) {
        if self.remote.is_missing(|| client.is_some_and(|client| !client.is_loopback())) {
            tracing::warn!(
                calls = CALLS,
                "a limit by address has seen none but callers on loopback or without an address: they all \
                 share one limit. If a proxy stands in front, say so by `behind`, or choose another key"
            );
        }
    }

    /// A limit by principal has seen a call, of a caller who is known or not.
    pub(crate) fn principal(&self, is_known: bool) {
        if self.known.is_missing(|| is_known) {
            tracing::warn!(
                calls = CALLS,
                "a limit by principal has seen none but unknown callers: they all share one limit. Does \
                 the authenticating layer stand outside this one?"
            );
        }
    }
}

impl Awaited {
    /// Whether it is this call that shows that it was waited for in vain.
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
    fn what_never_comes_is_told_once() {
        assert_eq!(missing(None), [CALLS]);
        assert_eq!(missing(Some(CALLS + 1)), [CALLS]);
    }

    #[test]
    fn what_came_once_is_not_missed() {
        for at in [1, 2, CALLS - 1, CALLS] {
            assert_eq!(missing(Some(at)), [0; 0], "{at}");
        }
    }
}
