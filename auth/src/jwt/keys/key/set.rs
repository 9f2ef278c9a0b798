//! The keys of one issuer.

use std::collections::HashMap;

use serde_json::Value;

use super::{Fingerprint, Key, KeyError, jwk};
use crate::jwt::token::algorithm::{Algorithm, Family};
use crate::jwt::token::json::{Duplicates, object};

/// How many keys a set may have.
pub(crate) const MAX_KEYS: usize = 100;

/// Keys of one issuer. No two have one `kid`.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// Whether a key without a `kid` serves tokens that name one.
    nameless: bool,
}

/// A set as an issuer publishes it.
#[derive(Debug)]
pub(crate) struct ReadSet {
    pub(crate) keys: KeySet,
    /// What was refused, by its place in the set.
    pub(crate) refused: Vec<(usize, KeyError)>,
}

/// Why no key of a token is in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// None has that `kid`.
    Unknown,
    /// None is for that algorithm, and the token names none.
    None,
    /// Several are for that algorithm, and the token does not say which.
    Several,
    /// The key of that name is for another algorithm.
    Other(Algorithm),
}

impl KeySet {
    /// Keys that the operator gives.
    pub(crate) fn given(keys: Vec<Key>) -> Result<Self, KeyError> {
        for (place, key) in keys.iter().enumerate() {
            let before = &keys[..place];
            match key.id() {
                Some(id) if before.iter().any(|other| other.id() == Some(id)) => {
                    return Err(KeyError::DuplicateId);
                }
                None if before
                    .iter()
                    .any(|other| other.id.is_none() && other.algorithm == key.algorithm) =>
                {
                    return Err(KeyError::NoId { algorithm: key.algorithm });
                }
                _ => {}
            }
        }
        Ok(Self { keys: keys.into_iter().map(Key::in_set).collect(), nameless: true })
    }

    /// Reads a set entry by entry: one that can't be used is left out, and spoils no other
    /// (RFC 7517 §5). A text that is no set, or too large a one, is an error.
    pub(crate) fn read(text: &[u8], allowed: &[Algorithm]) -> Result<ReadSet, &'static str> {
        let members = object(text, Duplicates::Null).map_err(|_| "no JSON object")?;
        let Some(Value::Array(entries)) = members.get("keys") else {
            return Err("no `keys` array");
        };
        if entries.len() > MAX_KEYS {
            return Err("more than 100 keys");
        }
        let rsa = allowed.iter().copied().find(|one| one.family() == Family::Rsa);
        let (mut keys, mut refused) = (Vec::new(), Vec::new());
        for (place, entry) in entries.iter().enumerate() {
            let key = match entry {
                Value::Object(entry) => jwk::read_public(entry, rsa.unwrap_or(Algorithm::RS256)),
                _ => Err(KeyError::Malformed("no object, or one with a member twice")),
            };
            match key {
                Ok(key) if allowed.contains(&key.algorithm) => keys.push((place, key)),
                Ok(Key { algorithm, .. }) => {
                    refused.push((place, KeyError::NotAllowed { algorithm }));
                }
                Err(error) => refused.push((place, error)),
            }
        }
        let keys = one_per_id(keys, &mut refused);
        refused.sort_by_key(|(place, _)| *place);
        Ok(ReadSet { keys: Self { keys, nameless: false }, refused })
    }

    /// The key of a token: by its `kid`, or if it names none the only one for its algorithm.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let named = |id: &str| self.keys.iter().find(|key| key.id() == Some(id));
        if let Some(key) = id.and_then(named) {
            return match key.algorithm {
                bound if bound == algorithm => Ok(key),
                bound => Err(NoKey::Other(bound)),
            };
        }
        if id.is_some() && !self.nameless {
            return Err(NoKey::Unknown);
        }
        let of_algorithm =
            |key: &&Key| key.algorithm == algorithm && (id.is_none() || key.id.is_none());
        let mut keys = self.keys.iter().filter(of_algorithm);
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(NoKey::Several),
            (None, _) if id.is_some() => Err(NoKey::Unknown),
            (None, _) => Err(NoKey::None),
        }
    }

    /// Whether that key is still in the set.
    pub(crate) fn holds(&self, print: &Fingerprint) -> bool {
        self.keys.iter().any(|key| key.print == *print)
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

/// Leaves out all keys of a `kid` that is not one key's alone. The same key twice is one, which signs the
/// tokens of both their issuers.
fn one_per_id(keys: Vec<(usize, Key)>, refused: &mut Vec<(usize, KeyError)>) -> Vec<Key> {
    let mut of_id: HashMap<String, Option<Fingerprint>> = HashMap::new();
    for (_, key) in &keys {
        if let Some(id) = key.id() {
            let only = of_id.entry(id.to_owned()).or_insert(Some(key.print));
            *only = only.filter(|print| *print == key.print);
        }
    }
    let mut kept: Vec<Key> = Vec::new();
    for (place, key) in keys {
        if key.id().is_some_and(|id| of_id.get(id) == Some(&None)) {
            refused.push((place, KeyError::DuplicateId));
        } else if let Some(same) = kept.iter_mut().find(|other| other.print == key.print) {
            same.issuers.merge(key.issuers);
        } else {
            kept.push(key);
        }
    }
    kept.into_iter().map(Key::in_set).collect()
}
