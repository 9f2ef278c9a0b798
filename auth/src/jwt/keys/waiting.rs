//! Limits how many calls wait for a fetch of keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic_call::ClientNetwork;

/// How many calls can wait for the keys of an issuer at the same time.
pub(crate) const MAX_WAITING: usize = 1_024;

/// How many of them can be from one address, so that no caller can block the others.
pub(crate) const MAX_WAITING_PER_ADDRESS: usize = 64;

/// The calls that wait.
#[derive(Debug, Default)]
pub(crate) struct WaitingCalls(Mutex<Counts>);

/// How many calls wait, in total and per address. There are at most as many addresses as calls.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    per_address: HashMap<ClientNetwork, usize>,
}

/// A call that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct WaitingCall {
    calls: Arc<WaitingCalls>,
    from: Option<ClientNetwork>,
}

impl WaitingCalls {
    /// Adds a call of that address, if it is within the limits.
    pub(crate) fn add(self: &Arc<Self>, from: Option<ClientNetwork>) -> Option<WaitingCall> {
        let mut counts = self.lock();
        if counts.all >= MAX_WAITING {
            return None;
        }
        if let Some(from) = from {
            let of_one = counts.per_address.entry(from).or_default();
            if *of_one >= MAX_WAITING_PER_ADDRESS {
                return None;
            }
            *of_one += 1;
        }
        counts.all += 1;
        Some(WaitingCall { calls: Arc::clone(self), from })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitingCall {
    fn drop(&mut self) {
        let mut counts = self.calls.lock();
        counts.all -= 1;
        let Some(from) = self.from else { return };
        if let Some(of_one) = counts.per_address.get_mut(&from) {
            *of_one -= 1;
            if *of_one == 0 {
                counts.per_address.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Option<ClientNetwork> {
        crate::jwt::verify::limiter::accountable(text.parse().expect("an address"))
    }

    #[test]
    fn one_address_has_its_share_of_the_places_and_gets_them_back() {
        let calls = Arc::new(WaitingCalls::default());
        let take = |text: &str| calls.add(network(text));
        let of_one: Vec<_> = std::iter::from_fn(|| take("192.0.2.1")).take(2_000).collect();
        assert_eq!(of_one.len(), MAX_WAITING_PER_ADDRESS);
        let other = take("192.0.2.2").expect("a place");
        drop(of_one);
        assert!(take("192.0.2.1").is_some());
        drop(other);
        // Calls without an address, as behind a sidecar on loopback, can take all places.
        let all: Vec<_> = std::iter::from_fn(|| take("127.0.0.1")).take(2_000).collect();
        assert_eq!(all.len(), MAX_WAITING);
        assert!(take("192.0.2.1").is_none());
        drop(all);
        assert_eq!(calls.lock().all, 0);
        assert!(calls.lock().per_address.is_empty(), "who has left takes no room");
    }
}
