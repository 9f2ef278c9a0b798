use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::builder::JwtBuilder;
use super::cache::TokenHash;
use super::issuer::{Issuer, KeysFrom};
use super::key::Key;
use super::key::set::NoKey;
use super::limiter::Network;
use super::store::{Asked, Missing, Store};
use super::token::compact::Compact;
use super::token::date::Date;
use super::verifier::{Keys, Unsigned, Verifier};
use crate::authenticate::{Authenticate, Authenticating, Outcome};
use crate::incoming::Incoming;

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

    pub(super) fn new(verifier: Verifier) -> Self {
        Self(Arc::new(verifier))
    }

    /// Waits until the keys of all issuers are there: for a health check, or before serving.
    pub async fn ready(&self) {
        for store in self.stores() {
            store.ready().await;
        }
    }

    /// Whether the keys of all issuers are there, and none is too old. If nobody fetches them yet, that
    /// is seen to, where there is a runtime.
    pub fn is_ready(&self) -> bool {
        self.stores().fold(true, |ready, store| {
            store.start();
            ready && store.keys().is_some()
        })
    }

    /// How long ago the oldest keys were fetched; `None` if there are none to fetch, or some are missing.
    pub fn age_of_keys(&self) -> Option<Duration> {
        let ages: Option<Vec<_>> = self.stores().map(|store| store.age()).collect();
        ages?.into_iter().max()
    }

    fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.0.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Kept(store) => Some(store),
            Keys::Given(_) => None,
        })
    }

    fn token(&self, token: &str, now: Date, from: Option<Network>) -> Authenticating {
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
            Err(missing) => verifier.no_key(&unsigned, missing, from).into(),
        }
    }

    /// Asks the issuer for a key that is not known, or says so if it can't be asked.
    fn once_asked(
        &self,
        token: &str,
        unsigned: Unsigned<'_>,
        hash: Option<TokenHash>,
        now: Date,
        from: Option<Network>,
    ) -> Authenticating {
        let verifier = &self.0;
        let Keys::Kept(store) = &verifier.issuers[unsigned.issuer].keys else {
            return verifier.no_key(&unsigned, Missing::No(NoKey::Unknown), from).into();
        };
        let waits = match store.ask(unsigned.header.key_id.as_deref(), unsigned.header.algorithm) {
            Asked::Waits(waits) => waits,
            Asked::Known(Ok(key)) => {
                return verifier.finish(unsigned, &key, hash, now, from).into();
            }
            // Nothing was done for it, and it may be as good as any.
            Asked::Known(Err(missing)) => return verifier.no_key(&unsigned, missing, None).into(),
        };
        // Counts as bad until it is known to be good: nobody holds all the places there are.
        verifier.failed(from);
        let (jwt, since) = (self.clone(), Instant::now());
        let (token, issuer) = (token.to_owned(), unsigned.issuer);
        let (header, claims) = (unsigned.header, unsigned.claims);
        Authenticating::later(async move {
            let key = waits.find(header.key_id.as_deref(), header.algorithm).await;
            jwt.0.forgive(from);
            let parts = match Compact::split(&token) {
                Ok(parts) => parts,
                Err(failure) => return failure.into(),
            };
            let unsigned = Unsigned { parts, issuer, header, claims };
            // It may have expired meanwhile.
            let now = now.plus(since.elapsed());
            match key {
                Ok(key) => jwt.0.finish(unsigned, &key, hash, now, from),
                Err(missing) => jwt.0.no_key(&unsigned, missing, from),
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
