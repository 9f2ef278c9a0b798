//! Builds a [`Jwt`] from what is configured.

use std::path::PathBuf;
use std::sync::Arc;

use tonic_call::TrustedProxies;

use super::authenticator::Jwt;
use super::cache::Cache;
use super::compile_issuer::compile_issuer;
use super::limiter::{AddressOf, FailureLimit, Limiter};
use super::verifier::{Keys, TrustedIssuer, Verifier};
use crate::jwt::config::builder::JwtBuilder;
use crate::jwt::config::error::JwtError;
use crate::jwt::config::issuer::{Issuer, KeysFrom};
#[cfg(feature = "jsonwebtoken")]
use crate::jwt::config::jsonwebtoken::JsonwebtokenIssuer;
use crate::jwt::keys::key::Key;
use crate::jwt::token::claims::Needed;
#[cfg(feature = "mtls")]
use crate::mtls::presented::Certificates;
#[cfg(feature = "mtls")]
use crate::mtls::proxies::MeshProxies;

impl Jwt {
    /// Builds a verifier for several issuers, or with settings for all issuers.
    pub fn builder() -> JwtBuilder {
        JwtBuilder::default()
    }

    /// Trusts an issuer whose keys are found by OpenID Connect discovery. `issuer` is exactly the `iss` of its
    /// tokens, and the base URL of its discovery document.
    #[cfg(feature = "http")]
    pub fn discover(issuer: impl Into<String>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::Discovery)
    }

    /// Trusts an issuer whose keys are at a URL.
    #[cfg(feature = "http")]
    pub fn jwks_url(issuer: impl Into<String>, url: impl Into<String>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::Url(url.into()))
    }

    /// Trusts an issuer whose keys are in a file, as a JSON Web Key Set. Changes of the file are detected.
    pub fn jwks_file(issuer: impl Into<String>, path: impl Into<PathBuf>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::File(path.into()))
    }

    /// Trusts `issuer`, verified with `keys`.
    pub fn keys(issuer: impl Into<String>, keys: impl IntoIterator<Item = Key>) -> Issuer {
        Issuer::new(issuer.into(), KeysFrom::Given(keys.into_iter().collect()))
    }

    /// Trusts tokens that jsonwebtoken verifies, with your `Validation` and your `DecodingKey`s.
    #[cfg(feature = "jsonwebtoken")]
    pub fn by_jsonwebtoken(validation: jsonwebtoken::Validation) -> JsonwebtokenIssuer {
        JsonwebtokenIssuer::new(validation)
    }
}

impl Issuer {
    /// Builds a verifier that trusts only this issuer.
    ///
    /// # Errors
    ///
    /// As [`JwtBuilder::build`].
    pub fn build(self) -> Result<Jwt, JwtError> {
        JwtBuilder::default().issuer(self).build()
    }
}

#[cfg(feature = "jsonwebtoken")]
impl JsonwebtokenIssuer {
    /// Builds a verifier that trusts only this issuer. [`JwtBuilder`] combines it with others, and has settings for
    /// the cache, the limit of failed tokens and revocation.
    ///
    /// # Errors
    ///
    /// - There is no key, or a key is for none of the algorithms of the `Validation`.
    /// - Two keys have the same `kid`, or verify the same tokens without a `kid`.
    /// - A secret is shorter than its hash.
    /// - The `Validation` can't accept any token, or its leeway is longer than 10 min.
    /// - jsonwebtoken has no back end, or two of them: [`NoCryptoProvider`](JwtError::NoCryptoProvider).
    /// - All errors of [`JwtBuilder::build`].
    pub fn build(self) -> Result<Jwt, JwtError> {
        JwtBuilder::default().issuer(self).build()
    }
}

impl JwtBuilder {
    /// Builds the verifier. Keys are fetched in the background: from now on inside a Tokio runtime, otherwise from
    /// the first call on.
    ///
    /// # Errors
    ///
    /// - There is no issuer, or the same issuer twice, or an issuer without an audience, or with an invalid key or
    ///   setting.
    /// - A file of keys can't be read, or contains no usable key.
    /// - There is no [TLS provider](crate#features) for an issuer at an `https` address.
    /// - [`failures_per_minute`](Self::failures_per_minute) is 0.
    /// - A value of [`behind`](Self::behind) is neither a network nor an address, or `client_address` is set as well.
    /// - No proxy of `behind_mesh` is trusted, or one has an invalid name.
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
        #[cfg(feature = "mtls")]
        let certificates = match self.bound {
            None => None,
            Some(mesh) => {
                let proxies = mesh.map(MeshProxies::compile).transpose();
                Some(Certificates::new(proxies.map_err(JwtError::Mesh)?))
            }
        };
        let mut trusted: Vec<TrustedIssuer> = Vec::new();
        for issuer in self.issuers {
            let issuer = compile_issuer(issuer, &self.on_keys)?;
            let is_known =
                |name: &&Arc<str>| trusted.iter().any(|other| other.names.contains(name));
            if let Some(name) = issuer.names.iter().find(is_known) {
                return Err(JwtError::IssuerTwice(name.to_string()));
            }
            trusted.push(issuer);
        }
        if trusted.len() > 1
            && let Some(any) = trusted.iter().find(|issuer| issuer.names.is_empty())
        {
            return Err(JwtError::Setting {
                issuer: any.name.to_string(),
                setting: "iss",
                problem: "the `Validation` accepts any issuer, so it can't be combined with other issuers"
                    .to_owned(),
            });
        }
        for keys in trusted.iter().map(|issuer| &issuer.keys) {
            if let Keys::Kept(refresher) = keys {
                refresher.start();
            }
        }
        let limiter = self.failures.and_then(Limiter::per_minute);
        Ok(Jwt::new(Verifier {
            needed: Needed {
                issuer: trusted.iter().all(|issuer| !issuer.names.is_empty()),
                expiry: trusted.iter().all(|issuer| issuer.rules.needs("exp")),
            },
            issuers: trusted,
            cache: Cache::new(self.cache),
            failures: limiter.map(|limiter| FailureLimit::new(limiter, address)),
            revoked: self.revoked,
            #[cfg(feature = "mtls")]
            certificates,
        }))
    }
}
