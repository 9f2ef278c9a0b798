use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic_call::ClientNetwork;

use super::cache::TokenHash;
use super::verifier::{Keys, Unsigned, Verifier};
use crate::decide::authenticate::{Authenticate, Authenticating, Outcome};
use crate::decide::incoming::Incoming;
use crate::jwt::config::builder::JwtBuilder;
use crate::jwt::config::events::KeysStatus;
use crate::jwt::config::issuer::{Issuer, KeysFrom};
use crate::jwt::keys::asking::Asked;
use crate::jwt::keys::key::Key;
use crate::jwt::keys::key::set::NoKey;
use crate::jwt::keys::readiness::Readiness;
use crate::jwt::keys::store::{Missing, Store};
use crate::jwt::token::compact::Compact;
use crate::jwt::token::date::Date;

/// Knows callers by a JSON Web Token that an issuer has signed: see the [module's page](crate::jwt).
///
/// Clones share keys and cache.
#[derive(Clone)]
pub struct Jwt(Arc<Verifier>);

impl Jwt {
    /// Several issuers, or settings for all.
    pub fn builder() -> JwtBuilder {
        JwtBuilder::default()
    }

    /// Believes an issuer whose keys are found by OpenID Connect discovery. The issuer is its `iss`, to
    /// the letter, and where its discovery document is found.
    #[cfg(feature = "http")]
    pub fn discover(issuer: impl Into<String>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::Discovery)
    }

    /// Believes an issuer whose keys are at a URL.
    #[cfg(feature = "http")]
    pub fn jwks_url(issuer: impl Into<String>, url: impl Into<String>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::Url(url.into()))
    }

    /// Believes an issuer whose keys are in a file, as a JSON Web Key Set. It is read again when it has
    /// changed.
    pub fn jwks_file(issuer: impl Into<String>, path: impl Into<PathBuf>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::File(path.into()))
    }

    /// Believes an issuer whose keys are these.
    pub fn keys(issuer: impl Into<String>, keys: impl IntoIterator<Item = Key>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::Given(keys.into_iter().collect()))
    }

    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(verifier))
    }

    /// Waits until the keys of all issuers are there: before serving, for example. They can be gone again
    /// later: health follows [`readiness`](Self::readiness).
    pub async fn ready(&self) {
        let mut readiness = self.readiness();
        while !readiness.is_ready() {
            readiness.changed().await;
        }
    }

    /// Whether the keys of all issuers are there, and none are too old. It is false again when an issuer
    /// withdraws its keys, or when they are [too old](Issuer::stale_for). If nobody fetches them yet, that is
    /// seen to, where there is a runtime.
    pub fn is_ready(&self) -> bool {
        self.stores().fold(true, |ready, store| {
            store.start();
            ready && store.keys().is_some()
        })
    }

    /// Follows [`is_ready`](Self::is_ready) in both directions: for a health service.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(self.clone())
    }

    /// Fetches the keys of all issuers now, and returns when that is done: whether all fetches were good. It
    /// takes at most as long as the [cool-down](Issuer::cool_down) and two
    /// [fetches](Issuer::fetch_timeout): within the cool-down of a fetch that was asked for, by this or by an
    /// unknown `kid`, the next one begins at its end.
    ///
    /// It asks when it is first polled, inside a Tokio runtime; dropped, it does not take that back.
    pub async fn refresh(&self) -> bool {
        let fetches: Vec<_> = self.stores().map(Store::refresh).collect();
        let mut good = true;
        for fetch in fetches {
            good &= fetch.await;
        }
        good
    }

    /// The keys of each issuer as they are now, for gauges and admin pages. Issuers whose keys are given are
    /// not among them.
    pub fn keys_status(&self) -> Vec<KeysStatus> {
        self.stores().map(|store| store.status()).collect()
    }

    /// How long ago the oldest keys were fetched; `None` if there are none to fetch, or some are missing.
    pub fn age_of_keys(&self) -> Option<Duration> {
        let ages: Option<Vec<_>> = self.stores().map(|store| store.age()).collect();
        ages?.into_iter().max()
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.0.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Kept(store) => Some(store),
            Keys::Given(_) => None,
        })
    }

    fn token(&self, token: &str, now: Date, from: Option<ClientNetwork>) -> Authenticating {
        let verifier = &self.0;
        let hash = verifier.cache.as_ref().map(|_| TokenHash::of(token));
        if let Some(outcome) = hash.and_then(|hash| verifier.remembered(&hash, now)) {
            return outcome.into();
        }
        let unsigned = match verifier.unsigned(token, now) {
            Ok(unsigned) => unsigned,
            Err(failure) => return Outcome::from(failure).into(),
        };
        if let Err(failure) = verifier.may_be_verified(from) {
            return Outcome::from(failure).into();
        }
        match verifier.key(&unsigned) {
            Ok(key) => verifier.finish(unsigned, &key, hash, now, from).into(),
            Err(Missing::No(NoKey::Unknown)) => self.once_asked(token, unsigned, hash, now, from),
            Err(missing) => verifier.no_key(&unsigned, missing).into(),
        }
    }

    /// Asks the issuer for a key that is not known, or says so if it can't be asked.
    fn once_asked(
        &self,
        token: &str,
        unsigned: Unsigned<'_>,
        hash: Option<TokenHash>,
        now: Date,
        from: Option<ClientNetwork>,
    ) -> Authenticating {
        let verifier = &self.0;
        let Keys::Kept(store) = &verifier.issuers[unsigned.issuer].keys else {
            return verifier.no_key(&unsigned, Missing::No(NoKey::Unknown)).into();
        };
        let (id, algorithm) = (unsigned.header.key_id.as_deref(), unsigned.header.algorithm);
        let waits = match store.ask(id, algorithm, from) {
            Asked::Waits(waits) => waits,
            Asked::Known(Ok(key)) => {
                return verifier.finish(unsigned, &key, hash, now, from).into();
            }
            Asked::Known(Err(missing)) => return verifier.no_key(&unsigned, missing).into(),
        };
        let (jwt, since) = (self.clone(), Instant::now());
        let (token, issuer) = (token.to_owned(), unsigned.issuer);
        let (header, claims) = (unsigned.header, unsigned.claims);
        Authenticating::later(async move {
            let key = waits.find(header.key_id.as_deref(), header.algorithm).await;
            let parts = match Compact::split(&token) {
                Ok(parts) => parts,
                Err(failure) => return failure.into(),
            };
            let unsigned = Unsigned { parts, issuer, header, claims };
            // It may have expired meanwhile.
            let now = now.plus(since.elapsed());
            match key {
                Ok(key) => jwt.0.finish(unsigned, &key, hash, now, from),
                Err(missing) => jwt.0.no_key(&unsigned, missing),
            }
        })
    }
}

impl Authenticate for Jwt {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        match call.bearer() {
            Ok(Some(token)) => {
                let from = self.0.network_of(call);
                self.token(token, Date::from_time(call.now()), from)
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
