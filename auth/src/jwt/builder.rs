use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::cache::Cache;
use super::error::JwtError;
use super::events::{KeysEvent, OnKeys};
use super::issuer::{Issuer, KeysFrom};
use super::key::set::KeySet;
use super::limiter::Limiter;
use super::rules::Rules;
use super::scopes::ScopesAt;
use super::source::{KeyFile, Source, file};
use super::store::Store;
use super::verifier::{Jwt, Keys, Revoked, Trusted, Verifier};
use crate::identity::Identity;

/// The farthest that an issuer's clock may be off.
const LEEWAY_AT_MOST: Duration = Duration::from_secs(600);

/// Several issuers, and what is the same for all.
#[must_use]
pub struct JwtBuilder {
    issuers: Vec<Issuer>,
    cache: usize,
    failures: u32,
    revoked: Option<Revoked>,
    on_keys: OnKeys,
}

impl Default for JwtBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            cache: 10_000,
            failures: 60,
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

    /// Sets how many bad tokens per minute one client address may have verified: by default 60. What it
    /// sends beyond them is refused unseen, unless it is remembered as good.
    ///
    /// Behind a proxy that shows its own address for all callers, turn it [off](Self::any_failures). Callers
    /// on loopback, and those of whom no address is known, are not limited.
    pub fn failures_per_minute(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// Verifies whatever comes, from wherever.
    pub fn any_failures(self) -> Self {
        Self { failures: 0, ..self }
    }

    /// Asks for each call whether its token is revoked, also when it is remembered. The function is called
    /// where calls are served: it must not block.
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
    /// When an issuer has no audience, is there twice, or a setting of it can't be. A file of keys must be
    /// there and have a usable one in it.
    pub fn build(self) -> Result<Jwt, JwtError> {
        if self.issuers.is_empty() {
            return Err(JwtError::NoIssuer);
        }
        let mut trusted: Vec<Trusted> = Vec::new();
        for issuer in self.issuers {
            if trusted.iter().any(|other| *other.name == *issuer.name) {
                return Err(JwtError::IssuerTwice(issuer.name));
            }
            trusted.push(trust(issuer, &self.on_keys)?);
        }
        for keys in trusted.iter().map(|issuer| &issuer.keys) {
            if let Keys::Kept(store) = keys {
                store.start();
            }
        }
        Ok(Jwt::new(Verifier {
            issuers: trusted,
            cache: Cache::new(self.cache),
            limiter: Limiter::per_minute(self.failures),
            revoked: self.revoked,
        }))
    }
}

fn trust(issuer: Issuer, on_keys: &OnKeys) -> Result<Trusted, JwtError> {
    let name: Arc<str> = issuer.name.as_str().into();
    let setting = |setting, problem: &str| JwtError::Setting {
        issuer: issuer.name.clone(),
        setting,
        problem: problem.to_owned(),
    };
    if issuer.name.is_empty() {
        return Err(setting("iss", "it has no name"));
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        return Err(JwtError::NoAudience(issuer.name));
    }
    if issuer.leeway > LEEWAY_AT_MOST {
        return Err(JwtError::Leeway { issuer: issuer.name, leeway: issuer.leeway });
    }
    if matches!(&issuer.scopes, ScopesAt::Pointer(pointer) if !pointer.starts_with('/')) {
        return Err(setting("scopes_at", "a JSON pointer begins with /"));
    }
    if [issuer.pace.every, issuer.pace.timeout].contains(&Duration::ZERO) {
        return Err(setting("refresh_every", "no time at all"));
    }
    let algorithms = algorithms(&issuer);
    if algorithms.is_empty() {
        return Err(JwtError::NoKeys(issuer.name));
    }
    let keys = keys(&issuer, &name, &algorithms, on_keys)?;
    let rules = Rules {
        audiences: issuer.audiences,
        algorithms,
        leeway: issuer.leeway,
        lifetime: issuer.lifetime,
        typ: issuer.typ,
        required: issuer.required,
        issued: issuer.issued,
        subject: issuer.subject,
    };
    Ok(Trusted { name, rules, scopes: issuer.scopes, keys })
}

fn algorithms(issuer: &Issuer) -> Vec<Algorithm> {
    match (&issuer.algorithms, &issuer.keys) {
        (Some(algorithms), _) => algorithms.clone(),
        (None, KeysFrom::Given(keys)) => keys.iter().map(super::Key::algorithm).collect(),
        (None, _) => Algorithm::OF_KEY_SETS.to_vec(),
    }
}

fn keys(
    issuer: &Issuer,
    name: &Arc<str>,
    allowed: &[Algorithm],
    on_keys: &OnKeys,
) -> Result<Keys, JwtError> {
    let store = |source: Box<dyn Source>| {
        let (name, pace) = (Arc::clone(name), issuer.pace.clone());
        Store::new(name, allowed.to_vec(), pace, source, on_keys.clone())
    };
    match &issuer.keys {
        KeysFrom::Given(keys) => {
            let key_error = |error| JwtError::Key { issuer: issuer.name.clone(), error };
            for algorithm in keys.iter().map(super::Key::algorithm) {
                if !allowed.contains(&algorithm) {
                    return Err(key_error(super::KeyError::NotAllowed { algorithm }));
                }
            }
            Ok(Keys::Given(KeySet::given(keys.clone()).map_err(key_error)?))
        }
        KeysFrom::File(path) => {
            let problem = |problem: String| JwtError::File { path: path.clone(), problem };
            let text = file::read(path).map_err(problem)?;
            let store = store(Box::new(KeyFile::new(path.clone())));
            let set =
                super::refresh::read(&store, &text).map_err(|why| problem(why.to_string()))?;
            store.good(set.keys);
            Ok(Keys::Kept(Arc::new(store)))
        }
        #[cfg(feature = "http")]
        KeysFrom::Url(url) => {
            let source = super::source::http::HttpKeys::at(&issuer.name, url, &issuer.http)?;
            Ok(Keys::Kept(Arc::new(store(Box::new(source)))))
        }
        #[cfg(feature = "http")]
        KeysFrom::Discovery => {
            let source = super::source::http::HttpKeys::discovered(&issuer.name, &issuer.http)?;
            Ok(Keys::Kept(Arc::new(store(Box::new(source)))))
        }
    }
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}
