use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::verifier::{Keys, Verifier};
use crate::decide::authenticate::{Authenticate, Authenticating, Outcome};
use crate::decide::incoming::Incoming;
use crate::jwt::keys::events::KeysStatus;
use crate::jwt::keys::readiness::{Readiness, all_ready};
use crate::jwt::keys::refresh::Refresher;
use crate::jwt::token::date::Date;

/// Knows callers by a JSON Web Token that an issuer has signed: see the [module's page](crate::jwt).
///
/// Clones share keys and cache.
#[derive(Clone)]
pub struct Jwt(Arc<Verifier>);

impl Jwt {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(verifier))
    }

    /// PendingLookup until the keys of all issuers are there: before serving, for example. They can be gone again
    /// later: health follows [`readiness`](Self::readiness).
    pub async fn ready(&self) {
        let mut readiness = self.readiness();
        while !readiness.is_ready() {
            readiness.changed().await;
        }
    }

    /// Whether the keys of all issuers are there, and none are too old. It is false again when an issuer
    /// withdraws its keys, or when they are [too old](crate::jwt::Issuer::stale_for). If nobody fetches them yet, that is
    /// seen to, where there is a runtime.
    pub fn is_ready(&self) -> bool {
        all_ready(self.refreshers())
    }

    /// Follows [`is_ready`](Self::is_ready) in both directions: for a health service.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.refreshers().cloned().collect())
    }

    /// Fetches the keys of all issuers now, and returns when that is done: whether all fetches were good. It
    /// takes at most as long as the [cool-down](crate::jwt::Issuer::cool_down) and two
    /// [fetches](crate::jwt::Issuer::fetch_timeout): within the cool-down of a fetch that was asked for, by this or by an
    /// unknown `kid`, the next one begins at its end.
    ///
    /// It asks when it is first polled, inside a Tokio runtime; dropped, it does not take that back.
    pub async fn refresh(&self) -> bool {
        let fetches: Vec<_> = self.refreshers().map(Refresher::refresh).collect();
        let mut good = true;
        for fetch in fetches {
            good &= fetch.await;
        }
        good
    }

    /// The keys of each issuer as they are now, for gauges and admin pages. Issuers whose keys are given are
    /// not among them.
    pub fn keys_status(&self) -> Vec<KeysStatus> {
        self.refreshers().map(|refresher| refresher.store.status()).collect()
    }

    /// How long ago the oldest keys were fetched; `None` if there are none to fetch, or some are missing.
    pub fn age_of_keys(&self) -> Option<Duration> {
        let ages: Option<Vec<_>> =
            self.refreshers().map(|refresher| refresher.store.age()).collect();
        ages?.into_iter().max()
    }

    pub(crate) fn refreshers(&self) -> impl Iterator<Item = &Arc<Refresher>> {
        self.0.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Kept(refresher) => Some(refresher),
            Keys::Given(_) => None,
        })
    }
}

impl Authenticate for Jwt {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        match call.bearer() {
            Ok(Some(token)) => {
                let limit = self.0.failures.as_ref();
                let from = limit.and_then(|limit| limit.network_of(call));
                self.0.verify(token, Date::from_time(call.now()), from)
            }
            Ok(None) => Outcome::Absent.into(),
            Err(failure) => Outcome::from(failure).into(),
        }
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.issuers.iter().map(|issuer| &issuer.name);
        f.debug_struct("Jwt").field("issuers", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
