//! The development key: a secret in a local file. `orders token` signs tokens with it, and `orders serve`
//! verifies them with it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tonic_auth_layer::Jwt;
use tonic_auth_layer::jwt::{Algorithm, Issuer, Key};

use super::{NoDevKey, key_file};
use crate::store::{Database, beside};

/// The default file of the development key, beside the default database.
pub const DEV_KEY: &str = "orders.db-dev-key";

/// What its tokens contain.
const ISSUER: &str = "orders-dev";
const AUDIENCE: &str = "orders";
const SUBJECT: &str = "developer";

/// The file of a database's development key. A database in memory uses the default file, so that `orders
/// token` finds the key without an option.
pub fn dev_key_of(database: &Database) -> PathBuf {
    match database {
        Database::File(path) => beside(path, "-dev-key"),
        Database::Memory => DEV_KEY.into(),
    }
}

/// A secret that signs tokens and verifies them.
pub(crate) struct DevKey {
    key: Key,
    id: String,
    secret: Vec<u8>,
}

impl DevKey {
    /// Reads the key from this file.
    pub(crate) fn read(path: &Path) -> Result<Self, NoDevKey> {
        let text = key_file::read(path)?;
        Self::from_jwk(&text).map_err(|why| NoDevKey::NotAKey(path.to_owned(), why))
    }

    /// Reads the key from this file, and creates the file if it does not exist.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self, NoDevKey> {
        let not_made = |error| NoDevKey::NotMade(path.to_owned(), error);
        match Self::read(path) {
            Err(NoDevKey::Missing(_)) => {}
            read => return read,
        }
        key_file::make(path).map_err(not_made)?;
        match Self::read(path) {
            Err(NoDevKey::Missing(_)) => {
                Err(not_made(io::Error::other("it is a link that leads nowhere")))
            }
            read => {
                tracing::info!(path = %path.display(), "made a development key");
                read
            }
        }
    }

    fn from_jwk(text: &str) -> Result<Self, String> {
        let key = Key::jwk(text).map_err(|error| error.to_string())?;
        let members: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (Some(id), Some(secret)) = (key.id(), members["k"].as_str()) else {
            return Err("it has no kid, or is no secret".to_owned());
        };
        if key.algorithm() != Algorithm::HS256 {
            return Err(format!("it is for {}", key.algorithm()));
        }
        let (id, secret) = (id.to_owned(), URL_SAFE_NO_PAD.decode(secret));
        Ok(Self { key, id, secret: secret.map_err(|error| error.to_string())? })
    }

    /// The issuer whose tokens this key signs.
    pub(crate) fn issuer(self) -> Issuer {
        // Tokens are signed and verified on one machine, by one clock.
        Jwt::keys(ISSUER, [self.key]).audience(AUDIENCE).leeway(Duration::ZERO)
    }

    /// Signs a token with these scopes that expires after `ttl`, rounded up to whole seconds.
    pub(crate) fn mint<S: AsRef<str>>(
        &self,
        scopes: &[S],
        ttl: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ttl = u64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        let scopes: Vec<_> = scopes.iter().map(AsRef::as_ref).collect();
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some(self.id.clone());
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": SUBJECT,
            "iat": now,
            "exp": now.saturating_add(ttl),
            "scope": scopes.join(" "),
        });
        encode(&header, &claims, &EncodingKey::from_secret(&self.secret))
    }
}

impl fmt::Debug for DevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_made_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        assert!(matches!(DevKey::read(&path), Err(NoDevKey::Missing(_))));
        let made = DevKey::read_or_make(&path).expect("made");
        let read = DevKey::read_or_make(&path).expect("read");
        assert_eq!((&made.id, &made.secret), (&read.id, &read.secret));
        let nowhere = DevKey::read_or_make(&folder.path().join("nowhere/key"));
        assert!(matches!(nowhere, Err(NoDevKey::NotMade(..))), "{nowhere:?}");
    }

    /// Guards against: two servers that start at the same time and end up with different keys.
    #[test]
    fn all_who_make_it_at_once_have_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let start = std::sync::Barrier::new(8);
        let ids: Vec<_> = std::thread::scope(|scope| {
            let make = || {
                start.wait();
                DevKey::read_or_make(&path).expect("made").id
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_one_that_leads_nowhere_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, link] = ["key", "link"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink("key", &link).expect("a link");
        let nowhere = DevKey::read_or_make(&link).expect_err("nothing is there").to_string();
        assert!(nowhere.contains("leads nowhere"), "{nowhere}");
        let made = DevKey::read_or_make(&path).expect("made");
        assert_eq!(DevKey::read_or_make(&link).expect("read").id, made.id);
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let short = r#"{"kty":"oct","alg":"HS256","kid":"a","k":"c2hvcnQ"}"#;
        let nameless = json!({ "kty": "oct", "alg": "HS256", "k": "A".repeat(43) }).to_string();
        let other =
            json!({ "kty": "oct", "alg": "HS512", "kid": "a", "k": "A".repeat(86) }).to_string();
        for text in ["", "{}", "Dear Ann,", short, &nameless, &other] {
            assert!(DevKey::from_jwk(text).is_err(), "{text}");
        }
    }
}
