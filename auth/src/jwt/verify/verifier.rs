//! The steps that a token goes through, the cheap ones first.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;
use tonic_call::{ClientNetwork, TrustedProxies};

use super::cache::{Cache, TokenHash, Verified};
use super::limiter::{Limiter, accountable};
use crate::decide::authenticate::Outcome;
use crate::decide::failure::{Failure, Reason};
use crate::decide::identity::Identity;
use crate::decide::incoming::Incoming;
use crate::jwt::config::own_claims::OwnClaims;
use crate::jwt::config::rules::{Rules, in_time};
use crate::jwt::config::scopes::ScopesAt;
use crate::jwt::config::tenants::Tenants;
use crate::jwt::keys::key::set::{KeySet, NoKey};
use crate::jwt::keys::key::{Fingerprint, Key};
use crate::jwt::keys::store::{Missing, Store};
use crate::jwt::token::claims::Claims;
use crate::jwt::token::compact::Compact;
use crate::jwt::token::date::Date;
use crate::jwt::token::fault::invalid;
use crate::jwt::token::header::Header;

pub(crate) type Revoked = Box<dyn Fn(&Identity) -> bool + Send + Sync>;

/// Which address is to answer for a bad token.
pub(crate) enum AddressOf {
    /// The peer's, or the one that these proxies name.
    Client(TrustedProxies),
    Function(AddressFn),
}

pub(crate) type AddressFn = Box<dyn Fn(&Incoming<'_>) -> Option<IpAddr> + Send + Sync>;

pub(crate) struct Verifier {
    pub(crate) issuers: Vec<Trusted>,
    pub(crate) cache: Option<Cache>,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) address: AddressOf,
    pub(crate) revoked: Option<Revoked>,
}

/// An issuer, with its own rules and its own keys: nothing of it is used for another's tokens.
pub(crate) struct Trusted {
    pub(crate) name: Arc<str>,
    /// Whose names its tokens have instead.
    pub(crate) tenants: Option<Tenants>,
    pub(crate) rules: Rules,
    pub(crate) scopes: ScopesAt,
    pub(crate) claims: Option<OwnClaims>,
    pub(crate) keys: Keys,
}

pub(crate) enum Keys {
    Given(KeySet),
    Kept(Arc<Store>),
}

/// A token that only lacks a look at its signature.
pub(crate) struct Unsigned<'a> {
    pub(crate) parts: Compact<'a>,
    pub(crate) issuer: usize,
    pub(crate) header: Header,
    pub(crate) claims: Claims,
}

impl Verifier {
    /// A token that was good before: everything that time or the operator can change is looked at again.
    pub(crate) fn remembered(&self, hash: &TokenHash, now: Date) -> Option<Outcome> {
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
    pub(crate) fn unsigned<'a>(&self, token: &'a str, now: Date) -> Result<Unsigned<'a>, Failure> {
        let parts = Compact::split(token)?;
        let header = Header::read(&parts.header()?)?;
        let claims = Claims::read(&parts.payload()?)?;
        // To the letter, and each has keys of its own.
        let place = |is: fn(&Trusted, &str) -> bool| {
            self.issuers.iter().position(|issuer| is(issuer, &claims.issuer))
        };
        let issuer = place(Trusted::is).or_else(|| place(Trusted::has_tenant));
        let Some(issuer) = issuer else {
            let names: Vec<_> = self.issuers.iter().map(|issuer| &*issuer.name).collect();
            return Err(invalid("iss", names.join(" or "), &claims.issuer));
        };
        if let Some(tenants) = &self.issuers[issuer].tenants {
            tenants.check(&claims)?;
        }
        self.issuers[issuer].rules.check(&header, &claims, now)?;
        Ok(Unsigned { parts, issuer, header, claims })
    }

    pub(crate) fn key(&self, unsigned: &Unsigned<'_>) -> Result<Key, Missing> {
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

    /// Refuses a token that no key is there for. That cost a look-up: it is not charged to the address.
    pub(crate) fn no_key(&self, unsigned: &Unsigned<'_>, missing: Missing) -> Outcome {
        let header = &unsigned.header;
        let why = match missing {
            Missing::Unavailable(why) => {
                return Failure::new(Reason::VerifierUnavailable, "keys").received(why).into();
            }
            Missing::No(why) => why,
        };
        let id = header.key_id.as_deref().unwrap_or("nothing");
        match why {
            NoKey::Unknown => {
                if let Keys::Kept(store) = &self.issuers[unsigned.issuer].keys {
                    store.count_unknown_kid();
                }
                invalid("kid", "a key of the issuer", id)
            }
            NoKey::None => invalid("kid", format!("a key for {}", header.algorithm), id),
            NoKey::Several => invalid("kid", "which of several keys", id),
            NoKey::Other(bound) => invalid("alg", bound.as_str(), header.algorithm.as_str()),
        }
        .into()
    }

    pub(crate) fn finish(
        &self,
        unsigned: Unsigned<'_>,
        key: &Key,
        hash: Option<TokenHash>,
        now: Date,
        from: Option<ClientNetwork>,
    ) -> Outcome {
        if let Some(tenants) = &self.issuers[unsigned.issuer].tenants
            && let Err(failure) = tenants.check_key(key.issuers(), &unsigned.claims)
        {
            return failure.into();
        }
        let parts = unsigned.parts;
        let signed = parts.signature().and_then(|signature| {
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
            .with_issuer(issuer.name_in(&claims))
            .with_scopes(scopes)
            .with_expires_at(expires.plus(leeway).time());
        if let Some(subject) = claims.members.get("sub").and_then(|subject| subject.as_str()) {
            identity = identity.with_subject(subject);
        }
        identity = identity.with_claims(claims.members);
        if let Some(own) = &issuer.claims {
            identity = own.read(identity)?;
        }
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

    /// Who is to answer for what is wrong with a call.
    pub(crate) fn network_of(&self, call: &Incoming<'_>) -> Option<ClientNetwork> {
        // Nobody asks where there is no limit.
        self.limiter.as_ref()?;
        let address = match &self.address {
            AddressOf::Function(address) => address(call),
            AddressOf::Client(proxies) => proxies.client_of(call.head()),
        };
        address.and_then(accountable)
    }

    pub(crate) fn may_be_verified(&self, from: Option<ClientNetwork>) -> Result<(), Failure> {
        match (&self.limiter, from) {
            (Some(limiter), Some(from)) => match limiter.wait(from, Instant::now()) {
                None => Ok(()),
                Some(wait) => {
                    limiter.tell();
                    let failure = Failure::new(Reason::RateLimited, "failures");
                    Err(failure.expected("fewer bad tokens").retry_after(wait))
                }
            },
            _ => Ok(()),
        }
    }

    pub(crate) fn failed(&self, from: Option<ClientNetwork>) {
        if let (Some(limiter), Some(from)) = (&self.limiter, from) {
            limiter.failed(from, Instant::now());
        }
    }
}

impl Trusted {
    /// The names that its tokens can have.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let own = self.tenants.is_none().then_some(&self.name);
        own.into_iter().chain(self.tenants.iter().flat_map(Tenants::issuers))
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.names().any(|mine| **mine == *name)
    }

    /// Whether that is the name of one of its tenants, if only of one that is not allowed.
    fn has_tenant(&self, name: &str) -> bool {
        self.tenants.as_ref().is_some_and(|tenants| tenants.has(name))
    }

    /// Who has issued a token that it was found to have written.
    fn name_in(&self, claims: &Claims) -> Arc<str> {
        let name = self.names().find(|name| ***name == *claims.issuer);
        Arc::clone(name.unwrap_or(&self.name))
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
