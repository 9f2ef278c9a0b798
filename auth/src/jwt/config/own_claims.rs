use std::any::{Any, type_name};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::decide::failure::Failure;
use crate::decide::identity::Identity;
use crate::jwt::token::fault::invalid;

/// Deserializes the claims of a token into a type of the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnClaims {
    type_name: &'static str,
    read: fn(&Identity) -> Result<Data, serde_json::Error>,
}

type Data = Arc<dyn Any + Send + Sync>;

impl OwnClaims {
    pub(crate) fn of<T: DeserializeOwned + Any + Send + Sync>() -> Self {
        let read = |identity: &Identity| {
            let claims: T = identity.claims_as()?;
            Ok(Arc::new(claims) as Data)
        };
        Self { type_name: type_name::<T>(), read }
    }

    /// Adds the value to the identity. The failure contains serde's error.
    pub(crate) fn read(&self, identity: Identity) -> Result<Identity, Failure> {
        match (self.read)(&identity) {
            Ok(data) => Ok(identity.with_shared_data(data)),
            Err(error) => Err(invalid("claims", self.type_name, error.to_string())),
        }
    }
}
