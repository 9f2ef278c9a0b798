use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::verifier::{Keys, Verifier};
use crate::decide::authenticate::{Authenticate, Authenticating};
use crate::decide::incoming::Incoming;
use crate::jwt::keys::events::KeysStatus;
use crate::jwt::keys::readiness::{Readiness, all_ready};
use crate::jwt::keys::refresh::Refresher;

/// Authenticates callers by a JSON Web Token: see the [module's page](crate::jwt).
///
/// Clones share keys and cache.
#[derive(Clone)]
pub struct Jwt(Arc<Verifier>);

impl Jwt {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(verifier))
    }

    /// Waits until the keys of all issuers are available: for example before serving. For a health service, use
    /// [`readiness`](Self::readiness): keys can become unavailable again.
    pub async fn ready(&self) {
        let mut readiness = self.readiness();
        while !readiness.is_ready() {
            readiness.changed().await;
        }
    }

    /// Whether the keys of all issuers are available and not too old. It becomes false again if an issuer withdraws
    /// its keys, or if they become [too old](crate::jwt::Issuer::stale_for). Starts fetching if needed, inside a
    /// Tokio runtime.
    pub fn is_ready(&self) -> bool {
        all_ready(self.refreshers())
    }

    /// Watches [`is_ready`](Self::is_ready), for a health service.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.refreshers().cloned().collect())
    }

    /// Fetches the keys of all issuers, and returns whether all fetches succeeded. During the
    /// [cool-down](crate::jwt::Issuer::cool_down) of a requested fetch, the next one starts at its end. So this
    /// takes at most as long as the cool-down and two [fetches](crate::jwt::Issuer::fetch_timeout).
    ///
    /// The fetch is requested when the future is first polled, inside a Tokio runtime. Dropping the future does not
    /// cancel it.
    pub async fn refresh(&self) -> bool {
        let fetches: Vec<_> = self.refreshers().map(Refresher::refresh).collect();
        let mut good = true;
        for fetch in fetches {
            good &= fetch.await;
        }
        good
    }

    /// The state of the keys of each issuer, for metrics and admin pages. Issuers with given keys are not included.
    pub fn keys_status(&self) -> Vec<KeysStatus> {
        self.refreshers().map(|refresher| refresher.store.status()).collect()
    }

    /// The age of the oldest keys; `None` if no issuer's keys are fetched, or some are missing.
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
        self.0.authenticate(call)
    }

    #[cfg(feature = "mtls")]
    fn remove_untrusted(&self, head: &mut http::request::Parts) {
        // Without a mesh of its own, another authenticator can have one.
        let certificates = self.0.certificates.as_ref();
        if let Some(proxies) = certificates.and_then(|certificates| certificates.proxies.as_ref()) {
            crate::mtls::proxies::remove_untrusted(Some(proxies), head);
        }
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.issuers.iter().map(|issuer| &issuer.name);
        f.debug_struct("Jwt").field("issuers", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
