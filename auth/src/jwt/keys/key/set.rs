//! The keys of one issuer.

use std::collections::HashMap;
use std::iter;

use serde_json::Value;

use super::{Fingerprint, Key, KeyError, jwk};
use crate::jwt::token::algorithm::{Algorithm, Family};
use crate::jwt::token::json::{Duplicates, object};

/// The maximum number of keys in a set.
pub(crate) const MAX_KEYS: usize = 100;

/// The keys of one issuer. No two keys have the same `kid`.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// Whether a key without a `kid` verifies tokens with an unknown `kid`.
    nameless: bool,
}

/// A key set that was read.
#[derive(Debug)]
pub(crate) struct ReadSet {
    pub(crate) keys: KeySet,
    /// The refused keys, by their index in the set.
    pub(crate) refused: Vec<(usize, KeyError)>,
}

/// Why a set has no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// No key has the `kid`.
    Unknown,
    /// No key is for the algorithm, and the token has no `kid`.
    None,
    /// Several keys are for the algorithm, and the token has no `kid`.
    Several,
    /// The key with the `kid` is for another algorithm.
    Other(Algorithm),
}

impl KeySet {
    /// Keys of the operator.
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

    /// Keys of jsonwebtoken: one for each algorithm of a `DecodingKey`, with the same `kid`.
    #[cfg(feature = "jsonwebtoken")]
    pub(crate) fn decoding(keys: Vec<Key>) -> Self {
        Self { keys, nameless: true }
    }

    /// Reads a key set. Unusable keys are refused one by one (RFC 7517 §5). A text that is not a key set, or too
    /// large, is an error.
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
                _ => {
                    Err(KeyError::Malformed("not an object, or an object with a duplicate member"))
                }
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

    /// The key of a token: by its `kid`, or without one the only key for its algorithm.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let mut named = self.keys.iter().filter(|key| id.is_some() && key.id() == id);
        if let Some(first) = named.next() {
            let key = iter::once(first).chain(named).find(|key| key.algorithm == algorithm);
            return key.ok_or(NoKey::Other(first.algorithm));
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

/// Refuses all keys whose `kid` belongs to several different keys. Merges entries for the same key, with their
/// issuers.
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
