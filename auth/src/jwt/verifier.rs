use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::builder::JwtBuilder;
use super::cache::{Cache, TokenHash, Verified};
use super::fault::invalid;
use super::issuer::{Issuer, KeysFrom};
use super::key::set::{KeySet, NoKey};
use super::key::{Fingerprint, Key};
use super::limiter::{Limiter, Network};
use super::rules::{Rules, in_time};
use super::scopes::ScopesAt;
use super::store::{Missing, Store};
use super::token::claims::Claims;
use super::token::compact::Compact;
use super::token::date::Date;
use super::token::header::Header;
use crate::authenticate::{Authenticate, Authenticating, Outcome};
use crate::failure::{Failure, Reason};
use crate::identity::Identity;
use crate::incoming::Incoming;

/// Knows callers by a JSON Web Token that an issuer has signed: see the [module's page](crate::jwt).
///
/// Clones share keys and cache.
#[derive(Clone)]
pub struct Jwt(Arc<Verifier>);

pub(super) type Revoked = Box<dyn Fn(&Identity) -> bool + Send + Sync>;

pub(super) struct Verifier {
    pub(super) issuers: Vec<Trusted>,
    pub(super) cache: Option<Cache>,
    pub(super) limiter: Option<Limiter>,
    pub(super) revoked: Option<Revoked>,
}

/// An issuer, with its own rules and its own keys: nothing of it is used for another's tokens.
pub(super) struct Trusted {
    pub(super) name: Arc<str>,
    pub(super) rules: Rules,
    pub(super) scopes: ScopesAt,
    pub(super) keys: Keys,
}

pub(super) enum Keys {
    Given(KeySet),
    Kept(Arc<Store>),
}

/// A token that only lacks a look at its signature.
struct Unsigned<'a> {
    token: &'a str,
    issuer: usize,
    header: Header,
    claims: Claims,
}

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

    /// Whether the keys of all issuers are there, and none is too old.
    pub fn is_ready(&self) -> bool {
        self.stores().all(|store| store.keys().is_some())
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
            Err(Missing::No(NoKey::Unknown)) => self.once_asked(unsigned, hash, now, from),
            Err(missing) => verifier.no_key(&unsigned, missing, from).into(),
        }
    }

    /// Asks the issuer for a key that is not known, or says so if it can't be asked.
    fn once_asked(
        &self,
        unsigned: Unsigned<'_>,
        hash: Option<TokenHash>,
        now: Date,
        from: Option<Network>,
    ) -> Authenticating {
        let verifier = &self.0;
        let Keys::Kept(store) = &verifier.issuers[unsigned.issuer].keys else {
            return verifier.no_key(&unsigned, Missing::No(NoKey::Unknown), from).into();
        };
        let (store, jwt, since) = (Arc::clone(store), self.clone(), Instant::now());
        let (token, issuer) = (unsigned.token.to_owned(), unsigned.issuer);
        let (header, claims) = (unsigned.header, unsigned.claims);
        Authenticating::later(async move {
            let key = store.fetch_and_find(header.key_id.as_deref(), header.algorithm).await;
            let unsigned = Unsigned { token: &token, issuer, header, claims };
            // It may have expired meanwhile.
            let now = now.plus(since.elapsed());
            match key {
                Ok(key) => jwt.0.finish(unsigned, &key, hash, now, from),
                Err(missing) => jwt.0.no_key(&unsigned, missing, from),
            }
        })
    }
}

impl Verifier {
    /// A token that was good before: everything that time or the operator can change is looked at again.
    fn remembered(&self, hash: &TokenHash, now: Date) -> Option<Outcome> {
        let cache = self.cache.as_ref()?;
        let verified = cache.get(hash)?;
        let issuer = self.issuers.get(verified.issuer)?;
        if !issuer.keys.hold(&verified.key) {
            cache.remove(hash);
            return None;
        }
        let leeway = issuer.rules.leeway;
        if let Err(failure) = in_time(verified.expires, verified.not_before, leeway, now) {
            if failure.reason() == Reason::TokenExpired {
                cache.remove(hash);
            }
            return Some(failure.into());
        }
        Some(match self.not_revoked(&verified.identity) {
            Ok(()) => Outcome::cached(verified.identity),
            Err(failure) => failure.into(),
        })
    }

    /// All that can be looked at without a key: whatever fails here costs no signature.
    fn unsigned<'a>(&self, token: &'a str, now: Date) -> Result<Unsigned<'a>, Failure> {
        let parts = Compact::split(token)?;
        let header = Header::read(&parts.header()?)?;
        let claims = Claims::read(&parts.payload()?)?;
        // To the letter, and each has keys of its own.
        let issuer = self.issuers.iter().position(|issuer| *issuer.name == *claims.issuer);
        let Some(issuer) = issuer else {
            let names: Vec<_> = self.issuers.iter().map(|issuer| &*issuer.name).collect();
            return Err(invalid("iss", names.join(" or "), &claims.issuer));
        };
        self.issuers[issuer].rules.check(&header, &claims, now)?;
        Ok(Unsigned { token, issuer, header, claims })
    }

    fn key(&self, unsigned: &Unsigned<'_>) -> Result<Key, Missing> {
        let header = &unsigned.header;
        match &self.issuers[unsigned.issuer].keys {
            Keys::Given(keys) => {
                let key = keys.find(header.key_id.as_deref(), header.algorithm);
                key.cloned().map_err(Missing::No)
            }
            Keys::Kept(store) => {
                store.start();
                store.find(header.key_id.as_deref(), header.algorithm)
            }
        }
    }

    fn no_key(&self, unsigned: &Unsigned<'_>, missing: Missing, from: Option<Network>) -> Outcome {
        let header = &unsigned.header;
        let why = match missing {
            Missing::Unavailable(why) => {
                return Failure::new(Reason::VerifierUnavailable, "keys").received(why).into();
            }
            Missing::No(why) => why,
        };
        self.failed(from);
        let id = header.key_id.as_deref().unwrap_or("nothing");
        match why {
            NoKey::Unknown => invalid("kid", "a key of the issuer", id),
            NoKey::None => invalid("kid", format!("a key for {}", header.algorithm), id),
            NoKey::Several => invalid("kid", "which of several keys", id),
            NoKey::Other(bound) => invalid("alg", bound.as_str(), header.algorithm.as_str()),
        }
        .into()
    }

    fn finish(
        &self,
        unsigned: Unsigned<'_>,
        key: &Key,
        hash: Option<TokenHash>,
        now: Date,
        from: Option<Network>,
    ) -> Outcome {
        let signed = Compact::split(unsigned.token).and_then(|parts| {
            let signature = parts.signature()?;
            if key.verifies(parts.message(), &signature) {
                return Ok(());
            }
            Err(invalid("signature", "one by the issuer's key", "another"))
        });
        if let Err(failure) = signed {
            self.failed(from);
            return failure.into();
        }
        self.believe(unsigned, *key.fingerprint(), hash, now).into()
    }

    /// The token is genuine.
    fn believe(
        &self,
        unsigned: Unsigned<'_>,
        key: Fingerprint,
        hash: Option<TokenHash>,
        now: Date,
    ) -> Result<Identity, Failure> {
        let Unsigned { issuer: place, claims, .. } = unsigned;
        let issuer = &self.issuers[place];
        let (leeway, expires, not_before) =
            (issuer.rules.leeway, claims.expires, claims.not_before);
        in_time(expires, not_before, leeway, now)?;
        let scopes = issuer.scopes.read(&claims.members)?;
        let mut identity = Identity::new("jwt")
            .with_issuer(Arc::clone(&issuer.name))
            .with_scopes(scopes)
            .with_expires_at(expires.plus(leeway).time());
        if let Some(subject) = claims.members.get("sub").and_then(|subject| subject.as_str()) {
            identity = identity.with_subject(subject);
        }
        let identity = identity.with_claims(claims.members);
        self.not_revoked(&identity)?;
        if let (Some(cache), Some(hash)) = (&self.cache, hash) {
            let identity = identity.clone();
            cache.put(hash, Verified { identity, issuer: place, key, expires, not_before });
        }
        Ok(identity)
    }

    fn not_revoked(&self, identity: &Identity) -> Result<(), Failure> {
        match &self.revoked {
            Some(revoked) if revoked(identity) => {
                Err(Failure::new(Reason::TokenInvalid, "revoked").expected("a token that is not"))
            }
            _ => Ok(()),
        }
    }

    fn may_be_verified(&self, from: Option<Network>) -> Result<(), Failure> {
        match (&self.limiter, from) {
            (Some(limiter), Some(from)) if !limiter.allows(from, Instant::now()) => {
                Err(Failure::new(Reason::RateLimited, "failures").expected("fewer bad tokens"))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, from: Option<Network>) {
        if let (Some(limiter), Some(from)) = (&self.limiter, from) {
            limiter.failed(from, Instant::now());
        }
    }
}

impl Keys {
    fn hold(&self, print: &Fingerprint) -> bool {
        match self {
            Self::Given(keys) => keys.holds(print),
            Self::Kept(store) => store.holds(print),
        }
    }
}

impl Authenticate for Jwt {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        match call.bearer() {
            Ok(Some(token)) => {
                let from = call.peer().and_then(|peer| Network::of(peer.ip()));
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
