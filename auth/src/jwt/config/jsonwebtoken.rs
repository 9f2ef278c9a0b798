use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{DecodingKey, Validation};
use serde::de::DeserializeOwned;

use super::issuer::{Issuer, KeysFrom};
use crate::jwt::keys::key::decoder::DecodingKeys;

#[doc = include_str!("../../../docs/jsonwebtoken.md")]
#[derive(Clone, Debug)]
#[must_use]
pub struct JsonwebtokenIssuer {
    issuer: Issuer,
    decoding: DecodingKeys,
}

impl JsonwebtokenIssuer {
    pub(crate) fn new(validation: Validation) -> Self {
        let mut names: Vec<_> = validation.iss.iter().flatten().map(String::as_str).collect();
        names.sort_unstable();
        let name = if names.is_empty() { "any".to_owned() } else { names.join(" or ") };
        let leeway = Duration::from_secs(validation.leeway);
        Self {
            issuer: Issuer::new(name, KeysFrom::Given(Vec::new())).leeway(leeway),
            decoding: DecodingKeys { validation, keys: Vec::new() },
        }
    }

    /// Adds a key for the tokens with this `kid`.
    pub fn key(mut self, kid: impl Into<Arc<str>>, key: DecodingKey) -> Self {
        self.decoding.keys.push((Some(kid.into()), key));
        self
    }

    /// Adds a key for tokens without a `kid`, or with an unknown `kid`. There can be one for each family of
    /// algorithms.
    ///
    /// If several keys verify the algorithm of a token, counting those with a `kid`, the token must have a `kid`.
    pub fn default_key(mut self, key: DecodingKey) -> Self {
        self.decoding.keys.push((None, key));
        self
    }

    /// Sets the required `typ`: see [`Issuer::typ`]. Default: absent, `JWT` or `at+jwt`.
    pub fn typ(self, typ: impl Into<String>) -> Self {
        Self { issuer: self.issuer.typ(typ), ..self }
    }

    /// Sets the maximum lifetime of a token: see [`Issuer::max_lifetime`]. Default: unlimited.
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        Self { issuer: self.issuer.max_lifetime(lifetime), ..self }
    }

    /// Sets where the scopes are, as a JSON pointer: see [`Issuer::scopes_at`]. Default: `scope`, or `scp`.
    pub fn scopes_at(self, pointer: impl Into<String>) -> Self {
        Self { issuer: self.issuer.scopes_at(pointer), ..self }
    }

    /// Deserializes the claims into a type of yours, for [`Identity::data`](crate::Identity::data): see
    /// [`Issuer::claims_as`].
    pub fn claims_as<T: DeserializeOwned + Any + Send + Sync>(self) -> Self {
        Self { issuer: self.issuer.claims_as::<T>(), ..self }
    }
}

impl From<JsonwebtokenIssuer> for Issuer {
    fn from(this: JsonwebtokenIssuer) -> Self {
        Self { keys: KeysFrom::Jsonwebtoken(Box::new(this.decoding)), ..this.issuer }
    }
}
