use std::fmt;
use std::net::IpAddr;

use tonic_call::TrustedProxies;

use super::error::JwtError;
use super::events::{KeysEvent, OnKeys};
use super::issuer::Issuer;
use crate::decide::identity::Identity;
use crate::decide::incoming::Incoming;
use crate::jwt::verify::authenticator::Jwt;
use crate::jwt::verify::cache::Cache;
use crate::jwt::verify::compile_issuer::trust;
use crate::jwt::verify::limiter::Limiter;
use crate::jwt::verify::verifier::{AddressFn, AddressOf, Keys, Revoked, Trusted, Verifier};

/// Several issuers, and what is the same for all.
#[must_use]
pub struct JwtBuilder {
    issuers: Vec<Issuer>,
    cache: usize,
    /// `None` is any.
    failures: Option<u32>,
    address: Option<AddressFn>,
    behind: Vec<String>,
    revoked: Option<Revoked>,
    on_keys: OnKeys,
}

impl Default for JwtBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            cache: 10_000,
            failures: Some(60),
            address: None,
            behind: Vec::new(),
            revoked: None,
            on_keys: OnKeys::default(),
        }
    }
}

impl JwtBuilder {
    /// Believes one more issuer.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Sets how many verified tokens are remembered: by default 10,000, with 0 none.
    pub fn cache(self, tokens: usize) -> Self {
        Self { cache: tokens, ..self }
    }

    /// Sets how many bad tokens per minute one client address may have verified: by default 60, and at
    /// least one. What it sends beyond them is refused unseen, unless it is remembered as good. Only a wrong
    /// signature counts: all other checks are cheap.
    ///
    /// Behind a proxy that shows its own address for all callers, name [its network](Self::behind), say
    /// [which address](Self::client_address) is the caller's, or turn it [off](Self::any_failures): else one
    /// stranger's bad tokens refuse everybody's new ones. Callers on loopback, and those of whom no address is
    /// known, are not limited; those of one IPv6 /64 are one.
    pub fn failures_per_minute(self, failures: u32) -> Self {
        Self { failures: Some(failures), ..self }
    }

    /// Verifies whatever comes, from wherever.
    pub fn any_failures(self) -> Self {
        Self { failures: None, ..self }
    }

    /// Trusts what proxies in these networks say in `x-forwarded-for`: networks (`10.0.0.0/8`) or addresses.
    /// The bad tokens are then counted to the last address in it that is none of theirs; if the call comes
    /// from elsewhere, the header is not looked at. By default no proxy is trusted.
    pub fn behind<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.behind.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Says in its own way which address is the caller's: by default the one at the other end of the
    /// connection, or [behind](Self::behind) proxies the one that they name. `None` is not limited. Does not go
    /// together with `behind`.
    pub fn client_address(
        self,
        of: impl Fn(&Incoming<'_>) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self { address: Some(Box::new(of)), ..self }
    }

    /// Asks for each call whether its token is revoked, also when it is remembered. The function is called
    /// where calls are served: it must not block. A stream that has begun goes on.
    pub fn revoked(self, is: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self { revoked: Some(Box::new(is)), ..self }
    }

    /// Is told of each fetch of keys: to count them by their result, and to know the age of the keys.
    pub fn on_keys(self, told: impl Fn(&KeysEvent<'_>) + Send + Sync + 'static) -> Self {
        Self { on_keys: OnKeys::new(told), ..self }
    }

    /// Starts to fetch keys, if there are any to fetch and a runtime to do so, and waits for none: without
    /// a runtime the first call starts it.
    ///
    /// # Errors
    ///
    /// When an issuer has no audience, is there twice, or a setting of it can't be, when
    /// [`failures_per_minute`](Self::failures_per_minute) is 0, and when a text of [`behind`](Self::behind) is
    /// neither a network nor an address, or `client_address` is set as well. A file of keys must be there
    /// and have a usable one in it, and for an issuer at an `https` address there must be a
    /// [TLS provider](crate#features).
    pub fn build(self) -> Result<Jwt, JwtError> {
        if self.issuers.is_empty() {
            return Err(JwtError::NoIssuer);
        }
        if self.failures == Some(0) {
            return Err(JwtError::NoFailures);
        }
        let proxies = TrustedProxies::new(&self.behind).map_err(JwtError::Network)?;
        let address = match self.address {
            Some(_) if !proxies.is_empty() => return Err(JwtError::TwoAddresses),
            Some(function) => AddressOf::Function(function),
            None => AddressOf::Client(proxies),
        };
        let mut trusted: Vec<Trusted> = Vec::new();
        for issuer in self.issuers {
            let issuer = trust(issuer, &self.on_keys)?;
            if let Some(name) =
                issuer.names().find(|name| trusted.iter().any(|other| other.is(name)))
            {
                return Err(JwtError::IssuerTwice(name.to_string()));
            }
            trusted.push(issuer);
        }
        for keys in trusted.iter().map(|issuer| &issuer.keys) {
            if let Keys::Kept(store) = keys {
                store.start();
            }
        }
        Ok(Jwt::new(Verifier {
            issuers: trusted,
            cache: Cache::new(self.cache),
            limiter: self.failures.and_then(Limiter::per_minute),
            address,
            revoked: self.revoked,
        }))
    }
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}
