//! Builds a [`Jwt`] from what is configured.

use std::path::PathBuf;

use tonic_call::TrustedProxies;

use super::authenticator::Jwt;
use super::cache::Cache;
use super::compile_issuer::compile_issuer;
use super::limiter::{AddressOf, FailureLimit, Limiter};
use super::verifier::{Keys, TrustedIssuer, Verifier};
use crate::jwt::config::builder::JwtBuilder;
use crate::jwt::config::error::JwtError;
use crate::jwt::config::issuer::{Issuer, KeysFrom};
use crate::jwt::keys::key::Key;

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
}

impl Issuer {
    /// Believes this issuer, and no other.
    ///
    /// # Errors
    ///
    /// As [`JwtBuilder::build`].
    pub fn build(self) -> Result<Jwt, JwtError> {
        JwtBuilder::default().issuer(self).build()
    }
}

impl JwtBuilder {
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
        let mut trusted: Vec<TrustedIssuer> = Vec::new();
        for issuer in self.issuers {
            let issuer = compile_issuer(issuer, &self.on_keys)?;
            if let Some(name) =
                issuer.names().find(|name| trusted.iter().any(|other| other.is(name)))
            {
                return Err(JwtError::IssuerTwice(name.to_string()));
            }
            trusted.push(issuer);
        }
        for keys in trusted.iter().map(|issuer| &issuer.keys) {
            if let Keys::Kept(refresher) = keys {
                refresher.start();
            }
        }
        let limiter = self.failures.and_then(Limiter::per_minute);
        Ok(Jwt::new(Verifier {
            issuers: trusted,
            cache: Cache::new(self.cache),
            failures: limiter.map(|limiter| FailureLimit::new(limiter, address)),
            revoked: self.revoked,
        }))
    }
}
