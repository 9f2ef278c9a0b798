//! Checks the settings of an issuer, and compiles them for verification.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "jsonwebtoken")]
use super::compile_jsonwebtoken::{compile_jsonwebtoken, key_set};
use super::verifier::{Keys, TrustedIssuer};
use crate::jwt::config::error::JwtError;
use crate::jwt::config::issuer::{Issuer, KeysFrom};
use crate::jwt::config::rules::Rules;
use crate::jwt::config::scopes::ScopesAt;
use crate::jwt::config::tenants::{PLACEHOLDER, Tenants};
use crate::jwt::keys::events::OnKeys;
use crate::jwt::keys::key::set::KeySet;
use crate::jwt::keys::key::{Key, KeyError};
use crate::jwt::keys::refresh::{self, Refresher};
#[cfg(feature = "http")]
use crate::jwt::keys::source::http::{BadSource, HttpKeys};
use crate::jwt::keys::source::{KeyFile, Source, file};
use crate::jwt::keys::store::Store;
use crate::jwt::token::algorithm::Algorithm;

/// The largest leeway.
const MAX_LEEWAY: Duration = Duration::from_secs(600);

/// The shortest and longest durations in a [`Pace`](crate::jwt::keys::store::Pace).
const MIN_PACE: Duration = Duration::from_millis(1);
const MAX_PACE: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn compile_issuer(issuer: Issuer, on_keys: &OnKeys) -> Result<TrustedIssuer, JwtError> {
    let name: Arc<str> = issuer.name.as_str().into();
    let setting = |setting, problem: &str| JwtError::Setting {
        issuer: issuer.name.clone(),
        setting,
        problem: problem.to_owned(),
    };
    if issuer.leeway > MAX_LEEWAY {
        return Err(JwtError::Leeway { issuer: issuer.name, leeway: issuer.leeway });
    }
    if matches!(&issuer.scopes, ScopesAt::Pointer(pointer) if !pointer.starts_with('/')) {
        return Err(setting("scopes_at", "a JSON pointer begins with /"));
    }
    #[cfg(feature = "jsonwebtoken")]
    if let KeysFrom::Jsonwebtoken(decoding) = &issuer.keys {
        return compile_jsonwebtoken(&issuer, decoding);
    }
    if issuer.name.is_empty() {
        return Err(setting("iss", "it has no name"));
    }
    let needs_audience = issuer.clients.is_none();
    if needs_audience && issuer.audiences.is_empty()
        || issuer.audiences.iter().any(String::is_empty)
    {
        return Err(JwtError::NoAudience(issuer.name));
    }
    if issuer.clients.as_ref().is_some_and(|all| all.is_empty() || all.iter().any(String::is_empty))
    {
        return Err(JwtError::NoClients(issuer.name));
    }
    let tenants = tenants(&issuer)?;
    let pace = &issuer.pace;
    for (name, time) in [
        ("refresh_every", pace.every),
        ("fetch_timeout", pace.timeout),
        ("cool_down", pace.cool_down),
    ] {
        if !(MIN_PACE..=MAX_PACE).contains(&time) {
            return Err(setting(name, "at least a millisecond, and at most a day"));
        }
    }
    if pace.stale < pace.every {
        return Err(setting("stale_for", "at least as long as `refresh_every`"));
    }
    let algorithms = algorithms(&issuer);
    if algorithms.is_empty() {
        return Err(JwtError::NoKeys(issuer.name));
    }
    let keys = keys(&issuer, &name, &algorithms, on_keys)?;
    let names = match &tenants {
        Some(tenants) => tenants.issuers().cloned().collect(),
        None => vec![Arc::clone(&name)],
    };
    let rules = Rules {
        audiences: Some(issuer.audiences),
        audience_optional: issuer.clients.is_some(),
        algorithms,
        leeway: issuer.leeway,
        expires_before: Some(Duration::ZERO),
        lifetime: issuer.lifetime,
        typ: issuer.typ,
        present: vec!["exp".to_owned()],
        required: issuer.required,
        issued: issuer.issued,
        subject: issuer.subject,
        exactly: issuer.exactly.iter().map(|&(name, text)| (name, text.to_owned())).collect(),
        clients: issuer.clients,
    };
    Ok(TrustedIssuer {
        name,
        names,
        tenants,
        rules,
        scopes: issuer.scopes,
        claims: issuer.claims,
        keys,
    })
}

fn tenants(issuer: &Issuer) -> Result<Option<Tenants>, JwtError> {
    let wrong = |problem| {
        Err(JwtError::Setting { issuer: issuer.name.clone(), setting: "tenants", problem })
    };
    let Some(setting) = &issuer.tenants else {
        // No token has a placeholder in its `iss`.
        return match issuer.name.contains(PLACEHOLDER) {
            true => wrong(format!("the issuer has {PLACEHOLDER} in it, and no tenants are given")),
            false => Ok(None),
        };
    };
    if setting.allowed.is_empty() {
        return Err(JwtError::NoTenants(issuer.name.clone()));
    }
    #[cfg(feature = "http")]
    if matches!(issuer.keys, KeysFrom::Discovery) {
        return wrong(
            "a template has no document to discover keys by: use `Jwt::jwks_url`".to_owned(),
        );
    }
    Tenants::compile(&issuer.name, setting.clone()).map(Some).or_else(wrong)
}

fn algorithms(issuer: &Issuer) -> Vec<Algorithm> {
    match (&issuer.algorithms, &issuer.keys) {
        (Some(algorithms), _) => algorithms.clone(),
        (None, KeysFrom::Given(keys)) => keys.iter().map(Key::algorithm).collect(),
        (None, _) => Algorithm::OF_KEY_SETS.to_vec(),
    }
}

fn keys(
    issuer: &Issuer,
    name: &Arc<str>,
    allowed: &[Algorithm],
    on_keys: &OnKeys,
) -> Result<Keys, JwtError> {
    let store = Store::new(Arc::clone(name), allowed.to_vec(), issuer.pace.clone());
    let kept = |store, source: Box<dyn Source>| {
        Ok(Keys::Kept(Arc::new(Refresher::new(store, source, on_keys.clone()))))
    };
    #[cfg(feature = "http")]
    let bad_source = |error| match error {
        BadSource::NoTls => JwtError::NoTls { issuer: issuer.name.clone() },
        BadSource::Setting { setting, problem } => {
            JwtError::Setting { issuer: issuer.name.clone(), setting, problem }
        }
    };
    match &issuer.keys {
        KeysFrom::Given(keys) => {
            let key_error = |error| JwtError::Key { issuer: issuer.name.clone(), error };
            for algorithm in keys.iter().map(Key::algorithm) {
                if !allowed.contains(&algorithm) {
                    return Err(key_error(KeyError::NotAllowed { algorithm }));
                }
            }
            Ok(Keys::Given(KeySet::given(keys.clone()).map_err(key_error)?))
        }
        #[cfg(feature = "jsonwebtoken")]
        KeysFrom::Jsonwebtoken(decoding) => key_set(&issuer.name, decoding).map(Keys::Given),
        KeysFrom::File(path) => {
            let problem = |problem: String| JwtError::File { path: path.clone(), problem };
            let text = file::read(path).map_err(problem)?;
            let set = refresh::read(&store, &text).map_err(|why| problem(why.to_string()))?;
            if set.keys.keys().is_empty() {
                return Err(problem(refresh::NONE_USABLE.to_owned()));
            }
            store.replace(set.keys);
            kept(store, Box::new(KeyFile::new(path.clone())))
        }
        #[cfg(feature = "http")]
        KeysFrom::Url(url) => {
            kept(store, Box::new(HttpKeys::at(url, &issuer.http).map_err(bad_source)?))
        }
        #[cfg(feature = "http")]
        KeysFrom::Discovery => {
            let source = HttpKeys::discovered(&issuer.name, &issuer.http).map_err(bad_source)?;
            kept(store, Box::new(source))
        }
    }
}
