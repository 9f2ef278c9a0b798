//! Whether tokens can be verified, as it changes.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::sleep_until;

use super::store::Store;
use crate::jwt::verify::authenticator::Jwt;

/// Follows whether the keys of all issuers are there and none are too old: in both directions. Made by
/// [`Jwt::readiness`].
///
/// ```no_run
/// use tonic_auth_layer::Jwt;
///
/// # fn set_health(_ready: bool) {}
/// # async fn follow(jwt: Jwt) {
/// let mut readiness = jwt.readiness();
/// set_health(readiness.is_ready());
/// loop {
///     set_health(readiness.changed().await);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Readiness {
    jwt: Jwt,
    seen: bool,
}

type Event<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Readiness {
    pub(crate) fn new(jwt: Jwt) -> Self {
        let seen = jwt.is_ready();
        Self { jwt, seen }
    }

    /// What was last seen: when this was made, or when [`changed`](Self::changed) last returned.
    pub fn is_ready(&self) -> bool {
        self.seen
    }

    /// Waits until it is no longer as last seen, and returns how it is now. What changes and changes back
    /// while nobody waits is not seen. Without an issuer whose keys are fetched it never returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn changed(&mut self) -> bool {
        let stores: Vec<_> = self.jwt.stores().cloned().collect();
        loop {
            // Before they are looked at: no event in between is lost.
            let mut events: Vec<_> = stores.iter().flat_map(events).collect();
            let ready = self.jwt.is_ready();
            if ready != self.seen {
                self.seen = ready;
                return ready;
            }
            poll_fn(|cx| {
                let happened = events.iter_mut().any(|event| event.as_mut().poll(cx).is_ready());
                if happened { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }
}

/// What can change whether there are keys: the end of a fetch, and time.
fn events(store: &Arc<Store>) -> [Event<'_>; 2] {
    let mut ended = store.ended();
    let stale_at = store.stale_at();
    let fetched = async move {
        // The sender is in the store: it is not gone while we wait.
        let _ = ended.changed().await;
    };
    let stale = async move {
        match stale_at {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    };
    [Box::pin(fetched), Box::pin(stale)]
}
