//! The issuers that a key is restricted to.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

/// The member `issuer` of a JSON Web Key. It is not standard, but Microsoft Entra's key sets contain keys of several
/// issuers and have it. It is used only for an issuer with tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyIssuers {
    /// The key has no such member.
    #[default]
    Any,
    /// These issuers, each a name or a template. Empty if the member is not a string.
    These(BTreeSet<String>),
}

impl KeyIssuers {
    pub(super) fn read(members: &Map<String, Value>) -> Self {
        match members.get("issuer") {
            None => Self::Any,
            Some(issuer) => {
                Self::These(issuer.as_str().map(ToOwned::to_owned).into_iter().collect())
            }
        }
    }

    /// Merges the issuers of two entries for the same key.
    pub(super) fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::These(mine), Self::These(others)) => mine.extend(others),
            (_, Self::Any) => *self = Self::Any,
            (Self::Any, _) => {}
        }
    }

    pub(super) fn hash_into(&self, hash: &mut digest::Context) {
        let Self::These(issuers) = self else { return };
        hash.update(b"\0issuers");
        for issuer in issuers {
            hash.update(&(issuer.len() as u64).to_be_bytes());
            hash.update(issuer.as_bytes());
        }
    }
}
