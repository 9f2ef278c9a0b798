//! Verifies a token, step by step, the cheap ones first.

use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use tokio::time::Instant;
use tonic_call::ClientNetwork;

#[cfg(feature = "mtls")]
use super::bound::is_held;
use super::bound::{Thumbprint, bound_to};
use super::cache::{Cache, TokenHash, Verified};
use super::last_token;
use super::limiter::FailureLimit;
use crate::decide::authenticate::{Authenticating, Outcome};
use crate::decide::failure::{Failure, Reason};
use crate::decide::identity::Identity;
use crate::decide::incoming::Incoming;
use crate::jwt::config::builder::Revoked;
use crate::jwt::config::own_claims::OwnClaims;
use crate::jwt::config::rules::{Rules, in_time};
use crate::jwt::config::scopes::ScopesAt;
use crate::jwt::config::tenants::Tenants;
use crate::jwt::keys::key::set::{KeySet, NoKey};
use crate::jwt::keys::key::{Fingerprint, Key};
use crate::jwt::keys::lookup::Lookup;
use crate::jwt::keys::refresh::Refresher;
use crate::jwt::keys::store::Missing;
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::token::claims::{Claims, Needed};
use crate::jwt::token::compact::Compact;
use crate::jwt::token::date::Date;
use crate::jwt::token::fault::invalid;
use crate::jwt::token::header::Header;
#[cfg(feature = "mtls")]
use crate::mtls::presented::Certificates;

pub(crate) struct Verifier {
    pub(crate) issuers: Vec<TrustedIssuer>,
    /// What all of them need.
    pub(crate) needed: Needed,
    pub(crate) cache: Option<Cache>,
    pub(crate) failures: Option<FailureLimit>,
    pub(crate) revoked: Option<Revoked>,
    /// For tokens that are bound to a certificate. `None` refuses them.
    #[cfg(feature = "mtls")]
    pub(crate) certificates: Option<Certificates>,
}

/// An issuer with its own rules and keys. Nothing of it is used for the tokens of another issuer.
pub(crate) struct TrustedIssuer {
    /// Its name, for messages.
    pub(crate) name: Arc<str>,
    /// The possible `iss` of its tokens. If empty, a token can have any `iss`, or none.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) tenants: Option<Tenants>,
    pub(crate) rules: Rules,
    pub(crate) scopes: ScopesAt,
    pub(crate) claims: Option<OwnClaims>,
    pub(crate) keys: Keys,
}

pub(crate) enum Keys {
    Given(KeySet),
    Kept(Arc<Refresher>),
}

/// A token whose header and claims are in order, and whose signature is not verified yet.
struct Unsigned<'a> {
    parts: Compact<'a>,
    header: Header,
    claims: Claims,
    /// Which of the issuers.
    issuer: usize,
    hash: Option<TokenHash>,
    from: Option<ClientNetwork>,
    bound: Option<Thumbprint>,
}

impl Unsigned<'_> {
    fn into_owned(self) -> Unsigned<'static> {
        let Self { parts, header, claims, issuer, hash, from, bound } = self;
        Unsigned { parts: parts.into_owned(), header, claims, issuer, hash, from, bound }
    }
}

impl Verifier {
    /// Verifies the token of a call: immediately, or after an unknown key was fetched.
    pub(crate) fn authenticate(self: &Arc<Self>, call: &Incoming<'_>) -> Authenticating {
        let found = call.only(&AUTHORIZATION).and_then(|value| {
            let Some(value) = value else { return Ok(Outcome::Absent.into()) };
            let now = Date::from_time(call.now());
            if let Some(outcome) = self.last(value, call, now) {
                return Ok(outcome.into());
            }
            Ok(match call.bearer()? {
                Some(token) => self.verify(token, value, call, now),
                None => Outcome::Absent.into(),
            })
        });
        found.unwrap_or_else(|failure| Outcome::from(failure).into())
    }

    fn verify(
        self: &Arc<Self>,
        token: &str,
        value: &HeaderValue,
        call: &Incoming<'_>,
        now: Date,
    ) -> Authenticating {
        let hash = match self.looked_up(token, value, call, now) {
            Ok(outcome) => return outcome.into(),
            Err(hash) => hash,
        };
        let from = self.failures.as_ref().and_then(|limit| limit.network_of(call));
        let unsigned = match self.unsigned(token, hash, from, call) {
            Ok(unsigned) => unsigned,
            Err(failure) => return Outcome::from(failure).into(),
        };
        let (id, algorithm) = (unsigned.header.key_id.as_deref(), unsigned.header.algorithm);
        match self.issuers[unsigned.issuer].keys.find(id, algorithm, from) {
            Lookup::Done(key) => Outcome::from(self.signed(unsigned, key, now)).into(),
            Lookup::Pending(waits) => {
                let (this, since) = (Arc::clone(self), Instant::now());
                let unsigned = unsigned.into_owned();
                Authenticating::later(async move {
                    let id = unsigned.header.key_id.as_deref();
                    let key = waits.find(id, unsigned.header.algorithm).await;
                    // It may have expired meanwhile.
                    this.signed(unsigned, key, now.plus(since.elapsed())).into()
                })
            }
        }
    }

    /// Looks up the token that came last on this thread, if this value of `authorization` is the same: it was read,
    /// checked and hashed before.
    fn last(&self, value: &HeaderValue, call: &Incoming<'_>, now: Date) -> Option<Outcome> {
        self.cache.as_ref()?;
        let hash = last_token::hash_of(value.as_bytes(), now)?;
        let cached = self.cached(&hash, call, now);
        if !matches!(cached, Some(Outcome::Identified { .. })) {
            last_token::forget();
        }
        cached
    }

    /// Looks up a token in the cache. The error is its hash, if there is a cache.
    fn looked_up(
        &self,
        token: &str,
        value: &HeaderValue,
        call: &Incoming<'_>,
        now: Date,
    ) -> Result<Outcome, Option<TokenHash>> {
        if self.cache.is_none() {
            return Err(None);
        }
        let hash = TokenHash::of(token);
        let cached = self.cached(&hash, call, now);
        if let Some(Outcome::Identified { identity, .. }) = &cached {
            let expires = identity.expires_at().map(Date::from_time);
            last_token::note(value.as_bytes(), hash, expires);
        }
        cached.ok_or(Some(hash))
    }

    /// A cached token. Everything that can have changed is checked again.
    fn cached(&self, hash: &TokenHash, call: &Incoming<'_>, now: Date) -> Option<Outcome> {
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
        // The caller can be another one than in the call before.
        if let Err(failure) = self.is_held(verified.bound.as_ref(), call) {
            return Some(failure.into());
        }
        Some(match self.not_revoked(&verified.identity) {
            Ok(()) => Outcome::cached(verified.identity),
            Err(failure) => failure.into(),
        })
    }

    /// All that can be checked without a key: what fails here costs no signature.
    fn unsigned<'a>(
        &self,
        token: &'a str,
        hash: Option<TokenHash>,
        from: Option<ClientNetwork>,
        call: &Incoming<'_>,
    ) -> Result<Unsigned<'a>, Failure> {
        let parts = Compact::split(token)?;
        let header = Header::read(&parts.header()?)?;
        let mut claims = Claims::read(&parts.payload()?, self.needed)?;
        // Exact comparison.
        let place = |is: fn(&TrustedIssuer, &str) -> bool| {
            self.issuers.iter().position(|issuer| is(issuer, claims.issuer()))
        };
        let issuer = place(TrustedIssuer::is).or_else(|| place(TrustedIssuer::has_tenant));
        let Some(issuer) = issuer else {
            let names: Vec<_> = self.issuers.iter().map(|issuer| &*issuer.name).collect();
            return Err(invalid("iss", names.join(" or "), claims.issuer()));
        };
        claims.expires = self.issuers[issuer].rules.expiry(claims.expires);
        if let Some(tenants) = &self.issuers[issuer].tenants {
            tenants.check(&claims)?;
        }
        self.issuers[issuer].rules.check(&header, &claims, Date::from_time(call.now()))?;
        let bound = bound_to(&claims, self.verifies_bound())?;
        self.is_held(bound.as_ref(), call)?;
        if let (Some(failures), Some(from)) = (&self.failures, from) {
            failures.check(from)?;
        }
        Ok(Unsigned { parts, header, claims, issuer, hash, from, bound })
    }

    /// Verifies the signature; the token is then genuine.
    fn signed(
        &self,
        unsigned: Unsigned<'_>,
        key: Result<Key, Missing>,
        now: Date,
    ) -> Result<Identity, Failure> {
        let key = key.map_err(|missing| self.no_key(&unsigned, missing))?;
        if let Some(tenants) = &self.issuers[unsigned.issuer].tenants {
            tenants.check_key(key.issuers(), &unsigned.claims)?;
        }
        let verified = key.verify(&unsigned.parts);
        if let (Err(_), Some(failures), Some(from)) = (&verified, &self.failures, unsigned.from) {
            failures.failed(from);
        }
        verified?;
        unsigned.into_identity(self, *key.fingerprint(), now)
    }

    /// There is no key for the token. It does not count as a bad token, because it cost only a look-up.
    fn no_key(&self, unsigned: &Unsigned<'_>, missing: Missing) -> Failure {
        let header = &unsigned.header;
        let why = match missing {
            Missing::Unavailable(why) => {
                return Failure::new(Reason::VerifierUnavailable, "keys").received(why);
            }
            Missing::No(why) => why,
        };
        let id = header.key_id.as_deref().unwrap_or("nothing");
        match why {
            NoKey::Unknown => {
                if let Keys::Kept(refresher) = &self.issuers[unsigned.issuer].keys {
                    refresher.store.count_unknown_kid();
                }
                invalid("kid", "a key of the issuer", id)
            }
            NoKey::None => invalid("kid", format!("a key for {}", header.algorithm), id),
            NoKey::Several => invalid("kid", "which of several keys", id),
            NoKey::Other(bound) => invalid("alg", bound.as_str(), header.algorithm.as_str()),
        }
    }

    #[cfg(feature = "mtls")]
    fn verifies_bound(&self) -> bool {
        self.certificates.is_some()
    }

    #[cfg(not(feature = "mtls"))]
    fn verifies_bound(&self) -> bool {
        false
    }

    /// Whether the caller has the certificate that the token is bound to.
    #[cfg(feature = "mtls")]
    fn is_held(&self, bound: Option<&Thumbprint>, call: &Incoming<'_>) -> Result<(), Failure> {
        bound.map_or(Ok(()), |bound| is_held(bound, self.certificates.as_ref(), call))
    }

    /// Without the feature `mtls`, `bound_to` refuses every token that is bound.
    #[cfg(not(feature = "mtls"))]
    fn is_held(&self, _: Option<&Thumbprint>, _: &Incoming<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn not_revoked(&self, identity: &Identity) -> Result<(), Failure> {
        match &self.revoked {
            Some(revoked) if revoked(identity) => {
                Err(Failure::new(Reason::TokenInvalid, "revoked")
                    .expected("a token that is not revoked"))
            }
            _ => Ok(()),
        }
    }
}

impl Unsigned<'_> {
    /// The caller that a genuine token names.
    fn into_identity(
        self,
        verifier: &Verifier,
        key: Fingerprint,
        now: Date,
    ) -> Result<Identity, Failure> {
        let Unsigned { issuer: place, claims, hash, bound, .. } = self;
        let issuer = &verifier.issuers[place];
        let (leeway, expires, not_before) =
            (issuer.rules.leeway, claims.expires, claims.not_before);
        in_time(expires, not_before, leeway, now)?;
        let scopes = issuer.scopes.read(&claims.members)?;
        let mut identity = Identity::new("jwt").with_scopes(scopes);
        if let Some(name) = issuer.name_in(&claims) {
            identity = identity.with_issuer(name);
        }
        if let Some(expires) = expires {
            identity = identity.with_expires_at(expires.plus(leeway).time());
        }
        if let Some(subject) = claims.members.get("sub").and_then(|subject| subject.as_str()) {
            identity = identity.with_subject(subject);
        }
        identity = identity.with_claims(claims.members);
        if let Some(own) = &issuer.claims {
            identity = own.read(identity)?;
        }
        verifier.not_revoked(&identity)?;
        if let (Some(cache), Some(hash)) = (&verifier.cache, hash) {
            let identity = identity.clone();
            cache.put(hash, Verified { identity, issuer: place, key, expires, not_before, bound });
        }
        Ok(identity)
    }
}

impl TrustedIssuer {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|mine| **mine == *name)
    }

    /// Whether that is the name of one of its tenants, even of one that is not allowed.
    fn has_tenant(&self, name: &str) -> bool {
        self.tenants.as_ref().is_some_and(|tenants| tenants.has(name))
    }

    /// The issuer of a verified token.
    fn name_in(&self, claims: &Claims) -> Option<Arc<str>> {
        let issuer = claims.issuer.as_deref()?;
        let name = self.names.iter().find(|name| ***name == *issuer);
        Some(name.map_or_else(|| issuer.into(), Arc::clone))
    }
}

impl Keys {
    /// The key of that name and algorithm, for a caller from that network. If it is unknown, the keys are fetched.
    fn find(&self, id: Option<&str>, algorithm: Algorithm, from: Option<ClientNetwork>) -> Lookup {
        match self {
            Self::Given(keys) => {
                Lookup::Done(keys.find(id, algorithm).cloned().map_err(Missing::No))
            }
            Self::Kept(refresher) => {
                refresher.start();
                refresher.look_up(id, algorithm, from)
            }
        }
    }

    fn hold(&self, print: &Fingerprint) -> bool {
        match self {
            Self::Given(keys) => keys.holds(print),
            Self::Kept(refresher) => refresher.holds(print),
        }
    }
}
