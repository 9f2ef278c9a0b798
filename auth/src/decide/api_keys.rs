//! API keys.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, rand};
use http::{HeaderName, HeaderValue};
use rustc_hash::FxHashMap;

use super::authenticate::{Authenticate, Authenticating, Outcome};
use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::incoming::Incoming;

/// Authenticates callers by a secret in a header, `x-api-key` by default.
///
/// ```
/// use tonic_auth_layer::{ApiKeys, AuthLayer, Identity};
///
/// # fn layer(secret: &str) -> Result<AuthLayer, Box<dyn std::error::Error>> {
/// let keys = ApiKeys::new()
///     .key(secret, Identity::new("api_key").with_subject("billing").with_scopes(["orders.read"]))?;
/// let layer = AuthLayer::new(keys).build()?;
/// # Ok(layer)
/// # }
/// # layer("2f1e6cb6a9f44dd2a1b95f47a0a7ce5d").unwrap();
/// ```
///
/// Only a keyed hash of each secret is stored (HMAC-SHA-256, with a random key per instance). A received secret is
/// looked up by its own keyed hash, so the time of the lookup reveals nothing about the stored secrets: callers can
/// neither know nor choose what is compared.
#[derive(Clone)]
pub struct ApiKeys {
    header: HeaderName,
    hashing: Arc<hmac::Key>,
    identities: FxHashMap<[u8; 32], Identity>,
}

/// Why an API key is invalid. It does not contain the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// It is shorter than [`MIN_KEY_BYTES`], so it could be guessed.
    Short,
    /// It has characters that a header value can't contain: often a line break at its end.
    Text,
    /// It was added before: one key can't identify two callers.
    Twice,
}

/// The minimum length of a key, in bytes. Keys should be random: 32 hexadecimal digits are 128 bits.
pub const MIN_KEY_BYTES: usize = 16;

impl ApiKeys {
    /// An authenticator without keys.
    pub fn new() -> Self {
        let mut random = [0; 32];
        rand::fill(&mut random).expect("the system has random numbers");
        Self {
            header: HeaderName::from_static("x-api-key"),
            hashing: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &random)),
            identities: FxHashMap::default(),
        }
    }

    /// Reads keys from this header.
    #[must_use]
    pub fn header(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }

    /// Adds a key, and the identity of its caller.
    ///
    /// # Errors
    ///
    /// If it is too short, invalid in a header, or was added before.
    pub fn key(self, key: impl AsRef<[u8]>, identity: Identity) -> Result<Self, ApiKeyError> {
        let key = key.as_ref();
        let text = HeaderValue::from_bytes(key).map_err(|_| ApiKeyError::Text)?;
        if text.to_str().is_err() || key.trim_ascii() != key {
            return Err(ApiKeyError::Text);
        }
        if key.len() < MIN_KEY_BYTES {
            return Err(ApiKeyError::Short);
        }
        let hash = sha256(key);
        self.sha256(hash, identity)
    }

    /// Adds a key by its SHA-256, so that the configuration does not contain the key itself.
    ///
    /// # Errors
    ///
    /// If it was added before.
    pub fn sha256(mut self, hash: [u8; 32], identity: Identity) -> Result<Self, ApiKeyError> {
        match self.identities.insert(self.keyed(hash), identity) {
            None => Ok(self),
            Some(_) => Err(ApiKeyError::Twice),
        }
    }

    /// The keyed hash that an identity is stored under.
    fn keyed(&self, hash: [u8; 32]) -> [u8; 32] {
        let mut keyed = [0; 32];
        keyed.copy_from_slice(hmac::sign(&self.hashing, &hash).as_ref());
        keyed
    }
}

fn sha256(key: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
    hash
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl Authenticate for ApiKeys {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        let found = match call.only(&self.header) {
            Ok(None) => Outcome::Absent,
            Ok(Some(key)) => match self.identities.get(&self.keyed(sha256(key.as_bytes()))) {
                Some(identity) => Outcome::identified(identity.clone()),
                None => Failure::new(Reason::TokenInvalid, "api_key").into(),
            },
            Err(failure) => failure.into(),
        };
        found.into()
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![self.header.clone()]
    }

    /// There is no HTTP authentication scheme for API keys.
    fn schemes(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("header", &self.header)
            .field("keys", &self.identities.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "an API key is shorter than {MIN_KEY_BYTES} bytes"),
            Self::Text => f.write_str(
                "an API key has characters that a header can't contain, or white space around it",
            ),
            Self::Twice => f.write_str("an API key was added twice"),
        }
    }
}

impl Error for ApiKeyError {}
