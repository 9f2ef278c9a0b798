//! Whose tokens a key signs, as it says itself.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

/// The member `issuer` of a JSON Web Key. No standard has it, but Microsoft Entra's keys do, and one set holds
/// keys of several issuers. It counts for an issuer with tenants alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeyIssuers {
    /// It says nothing of it.
    #[default]
    Any,
    /// Those of these issuers, each a name or a template of one. Of none, if what it says is no text.
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

    /// What two entries of one set say of one key.
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
