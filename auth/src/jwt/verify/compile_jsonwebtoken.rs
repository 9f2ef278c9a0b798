//! Compiles an issuer whose tokens jsonwebtoken verifies.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::verifier::{Keys, TrustedIssuer};
use crate::jwt::config::error::JwtError;
use crate::jwt::config::issuer::Issuer;
use crate::jwt::config::rules::Rules;
use crate::jwt::keys::key::decoder::{DecodingKeys, algorithm_of, is_for};
use crate::jwt::keys::key::set::KeySet;
use crate::jwt::keys::key::{Key, KeyError};

pub(super) fn compile_jsonwebtoken(
    issuer: &Issuer,
    decoding: &DecodingKeys,
) -> Result<TrustedIssuer, JwtError> {
    let validation = &decoding.validation;
    let setting = |setting, problem: &str| JwtError::Setting {
        issuer: issuer.name.clone(),
        setting,
        problem: problem.to_owned(),
    };
    // `Issuer` has setters that do not go together with a `Validation`.
    for (name, is_set) in [
        ("audience", !issuer.audiences.is_empty()),
        ("algorithms", issuer.algorithms.is_some()),
        ("cognito", issuer.clients.is_some()),
        ("tenants", issuer.tenants.is_some()),
    ] {
        if is_set {
            return Err(setting(name, "not available with a `Validation` of jsonwebtoken"));
        }
    }
    let accepts_nothing = |set: &HashSet<String>| set.is_empty() || set.contains("");
    if validation.iss.as_ref().is_some_and(accepts_nothing) {
        let problem = "the `Validation` has an empty set of issuers, or an empty issuer";
        return Err(setting("iss", problem));
    }
    if validation.validate_aud && validation.aud.as_ref().is_some_and(accepts_nothing) {
        return Err(JwtError::NoAudience(issuer.name.clone()));
    }
    let mut present = sorted(&validation.required_spec_claims);
    if validation.validate_exp && !validation.required_spec_claims.contains("exp") {
        present.push("exp".to_owned());
    }
    let audiences = validation.aud.as_ref().map_or_else(Vec::new, sorted);
    let rules = Rules {
        // Without any, `audiences` refuses every `aud`, as jsonwebtoken does.
        audience_optional: audiences.is_empty(),
        audiences: validation.validate_aud.then_some(audiences),
        algorithms: validation.algorithms.iter().copied().filter_map(algorithm_of).collect(),
        leeway: issuer.leeway,
        expires_before: validation
            .validate_exp
            .then_some(Duration::from_secs(validation.reject_tokens_expiring_in_less_than)),
        lifetime: issuer.lifetime,
        typ: issuer.typ.clone(),
        present,
        required: issuer.required,
        issued: issuer.issued,
        subject: issuer.subject,
        exactly: validation.sub.iter().map(|sub| ("sub", sub.clone())).collect(),
        clients: None,
    };
    let names = validation.iss.as_ref().map_or_else(Vec::new, sorted);
    Ok(TrustedIssuer {
        name: issuer.name.as_str().into(),
        names: names.into_iter().map(Arc::from).collect(),
        tenants: None,
        rules,
        scopes: issuer.scopes.clone(),
        claims: issuer.claims,
        keys: Keys::Given(key_set(&issuer.name, decoding)?),
    })
}

/// One key for each algorithm of a `DecodingKey` that the `Validation` allows.
pub(super) fn key_set(issuer: &str, decoding: &DecodingKeys) -> Result<KeySet, JwtError> {
    let DecodingKeys { validation, keys } = decoding;
    let key_error = |error| JwtError::Key { issuer: issuer.to_owned(), error };
    let mut set: Vec<Key> = Vec::new();
    for (kid, decoding_key) in keys {
        let before = set.len();
        if kid.is_some() && set.iter().any(|other| other.id() == kid.as_deref()) {
            return Err(key_error(KeyError::DuplicateId));
        }
        let mut algorithms = validation.algorithms.clone();
        algorithms.retain(|algorithm| algorithm.family() == decoding_key.family());
        algorithms.sort_unstable_by_key(|algorithm| *algorithm as u8);
        algorithms.dedup();
        for algorithm in algorithms {
            if !is_for(decoding_key, algorithm).map_err(JwtError::NoCryptoProvider)? {
                continue;
            }
            let key = Key::decoding(decoding_key, algorithm, validation).map_err(key_error)?;
            let algorithm = key.algorithm();
            let is_same = |other: &Key| other.id().is_none() && other.algorithm() == algorithm;
            match kid {
                Some(kid) => set.push(key.with_id(Arc::clone(kid))),
                None if set.iter().any(is_same) => {
                    return Err(key_error(KeyError::NoId { algorithm }));
                }
                None => set.push(key),
            }
        }
        if set.len() == before
            && let Some(algorithm) = validation.algorithms.first().copied().and_then(algorithm_of)
        {
            return Err(key_error(KeyError::Mismatch { algorithm }));
        }
    }
    if set.is_empty() {
        Err(JwtError::NoKeys(issuer.to_owned()))
    } else {
        Ok(KeySet::decoding(set))
    }
}

fn sorted(set: &HashSet<String>) -> Vec<String> {
    let mut texts: Vec<_> = set.iter().cloned().collect();
    texts.sort_unstable();
    texts
}
