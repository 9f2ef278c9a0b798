//! The claims of a token, on the [`Identity`] of its caller.

use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use super::json::has_private_names;
use crate::decide::identity::Identity;

impl Identity {
    /// Sets the claims of the caller's token.
    #[must_use]
    pub fn with_claims(self, claims: Map<String, Value>) -> Self {
        self.with(|inner| inner.claims = Some(Arc::new(Value::Object(claims))))
    }

    /// The claims of the caller's token, if there is one.
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        claims_of(self)?.as_object()
    }

    /// Deserializes the claims of the caller's token, on each call. To deserialize them [once per
    /// token](crate::jwt::Issuer::claims_as), set a type on the issuer; the result is then the identity's
    /// [data](Self::data).
    ///
    /// # Errors
    ///
    /// If the claims don't fit the type, or there are none. Also if a member has a name that serde_json reserves
    /// (`$serde_json::private::…`): with some of its features, a type that contains a [`Value`] would get another
    /// value than the one in the token.
    pub fn claims_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match claims_of(self) {
            Some(claims) if has_private_names(claims) => {
                Err(serde_json::Error::custom("a member has a name that is private to serde_json"))
            }
            Some(claims) => T::deserialize(claims),
            None => T::deserialize(&Value::Object(Map::new())),
        }
    }
}

fn claims_of(identity: &Identity) -> Option<&Value> {
    identity.0.claims.as_deref()?.downcast_ref()
}
