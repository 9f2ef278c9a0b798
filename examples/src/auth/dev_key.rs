//! The development key: a secret in a file of this machine, by which `orders serve` believes the tokens
//! that `orders token` makes.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tonic_auth_layer::Jwt;
use tonic_auth_layer::jwt::{Algorithm, Issuer, Key};

use crate::store::{Database, beside};

/// Where it is, unless another file is named: beside the database that is served by default.
pub const DEV_KEY: &str = "orders.db-dev-key";

/// Who signs by it, and who is called by it.
const ISSUER: &str = "orders-dev";
const AUDIENCE: &str = "orders";
const SUBJECT: &str = "developer";

/// Longer files are something else.
const LONGEST_FILE: u64 = 4096;

/// Where the development key of a database is. That of one in memory is where the default one's is, so that
/// both are found without being named.
pub fn dev_key_of(database: &Database) -> PathBuf {
    match database {
        Database::File(path) => beside(path, "-dev-key"),
        Database::Memory => DEV_KEY.into(),
    }
}

/// A secret that signs tokens, and believes them.
pub(crate) struct DevKey {
    key: Key,
    id: String,
    secret: Vec<u8>,
}

/// Why there is no development key, and how to mend it.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoDevKey {
    /// The file is not there.
    Missing(PathBuf),
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file cannot be made.
    NotMade(PathBuf, io::Error),
    /// Others than its owner may read the file, or change it.
    Open(PathBuf),
    /// The file is something else.
    NotAKey(PathBuf, String),
}

impl DevKey {
    /// The one in this file.
    pub(crate) fn read(path: &Path) -> Result<Self, NoDevKey> {
        let unreadable = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => NoDevKey::Missing(path.to_owned()),
            _ => NoDevKey::Unreadable(path.to_owned(), error),
        };
        let file = File::open(path).map_err(unreadable)?;
        if is_open(&file.metadata().map_err(unreadable)?) {
            return Err(NoDevKey::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.take(LONGEST_FILE).read_to_string(&mut text).map_err(unreadable)?;
        Self::from_jwk(&text).map_err(|why| NoDevKey::NotAKey(path.to_owned(), why))
    }

    /// The one in this file, which is made if it is not there.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self, NoDevKey> {
        match Self::read(path) {
            Err(NoDevKey::Missing(_)) => {
                make(path).map_err(|error| NoDevKey::NotMade(path.to_owned(), error))?;
                tracing::info!(?path, "made a development key");
                Self::read(path)
            }
            read => read,
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

    /// What believes its tokens.
    pub(crate) fn issuer(self) -> Issuer {
        // Those who sign and those who verify have one clock.
        Jwt::keys(ISSUER, [self.key]).audience(AUDIENCE).leeway(Duration::ZERO)
    }

    /// A token that holds these scopes for so long, in whole seconds.
    pub(crate) fn mint<S: AsRef<str>>(&self, scopes: &[S], ttl: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ttl = u64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        let scopes: Vec<_> = scopes.iter().map(AsRef::as_ref).collect();
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": self.id });
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": SUBJECT,
            "iat": now,
            "exp": now.saturating_add(ttl),
            "scope": scopes.join(" "),
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// Makes one, unless another process was first. Nobody ever finds a part of it there.
fn make(path: &Path) -> io::Result<()> {
    let (mut secret, mut id) = ([0; 32], [0; 8]);
    for bytes in [&mut secret[..], &mut id] {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))?;
    }
    let [secret, id] = [&secret[..], &id].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let jwk = json!({ "kty": "oct", "use": "sig", "alg": "HS256", "kid": id, "k": secret });

    let draft = beside(path, &format!("-{id}"));
    let linked = write_private(&draft, &format!("{jwk}\n")).and_then(|()| {
        match fs::hard_link(&draft, path) {
            // Some file systems have no links.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => fs::rename(&draft, path),
            _ => Ok(()),
        }
    });
    _ = fs::remove_file(&draft);
    linked
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn is_open(file: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open(_: &fs::Metadata) -> bool {
    false
}

impl fmt::Display for NoDevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "there is no development key {path:?}: `orders serve` makes it when it starts; or name \
                 another with --dev-key FILE"
            ),
            Self::Unreadable(path, error) => write!(
                f,
                "cannot read the development key {path:?}: {error}; name another with --dev-key FILE"
            ),
            Self::NotMade(path, error) => write!(
                f,
                "cannot make the development key {path:?}: {error}; name another with --dev-key FILE, \
                 or an issuer with --issuer"
            ),
            Self::Open(path) => write!(
                f,
                "the development key {path:?} is not for its owner alone: chmod 600 makes it so; if \
                 others may have read it, remove it, and `orders serve` makes another"
            ),
            Self::NotAKey(path, why) => write!(
                f,
                "{path:?} is not a development key: {why}; name another with --dev-key FILE"
            ),
        }
    }
}

impl std::error::Error for NoDevKey {}

impl fmt::Debug for DevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_made_stays_and_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        assert!(matches!(DevKey::read(&path), Err(NoDevKey::Missing(_))));
        let made = DevKey::read_or_make(&path).expect("made");
        let read = DevKey::read_or_make(&path).expect("read");
        assert_eq!((&made.id, &made.secret), (&read.id, &read.secret));
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
        make(&path).expect("leaves what is there");
        assert_eq!(DevKey::read(&path).expect("read").id, made.id);

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |bits| fs::set_permissions(&path, fs::Permissions::from_mode(bits));
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
            for bits in [0o640, 0o604, 0o620] {
                mode(bits).expect("ours");
                assert!(matches!(DevKey::read(&path), Err(NoDevKey::Open(_))), "{bits:o}");
            }
        }
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
