//! Reads a JSON Web Key (RFC 7517, RFC 7518 §6, RFC 8037), and checks its `use`, `key_ops` and `alg`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Key, KeyError, KeyIssuers};
use crate::jwt::token::algorithm::{Algorithm, Family};
use crate::jwt::token::json::{Duplicates, object};

/// Reads a key of the operator, which can be a secret.
pub(super) fn read_text(text: &[u8]) -> Result<Key, KeyError> {
    let members =
        object(text, Duplicates::Refused).map_err(|_| KeyError::Malformed("no JSON object"))?;
    if text_of(&members, "kty")? != Some("oct") {
        return read_public(&members, Algorithm::RS256);
    }
    for_signatures(&members)?;
    let algorithm = algorithm(&members)?.unwrap_or(Algorithm::HS256);
    let key = Key::secret(algorithm, bytes(&members, "k")?)?;
    with_id(key, &members)
}

/// Reads a key that an issuer publishes. `rsa` is the algorithm of RSA keys without `alg`.
pub(crate) fn read_public(members: &Map<String, Value>, rsa: Algorithm) -> Result<Key, KeyError> {
    // A published private key is compromised.
    if members.contains_key("d") {
        return Err(KeyError::Secret);
    }
    for_signatures(members)?;
    let named = algorithm(members)?;
    let fits = |family: Family, usual: Algorithm| match named {
        Some(named) if named.family() == family => Ok(named),
        Some(named) => Err(KeyError::Mismatch { algorithm: named }),
        None => Ok(usual),
    };
    let curve = text_of(members, "crv")?;
    let key = match text_of(members, "kty")? {
        Some("RSA") => {
            let algorithm = fits(Family::Rsa, rsa)?;
            Key::rsa(algorithm, &bytes(members, "n")?, &bytes(members, "e")?)?
        }
        Some("EC") => {
            let (of_curve, length) = match curve {
                Some("P-256") => (Algorithm::ES256, 32),
                Some("P-384") => (Algorithm::ES384, 48),
                Some("P-521") => (Algorithm::ES512, 66),
                _ => return Err(KeyError::Unsupported("a curve that is not supported")),
            };
            let algorithm = fits(Family::Ec, of_curve)?;
            let mut point = vec![4];
            for name in ["x", "y"] {
                let coordinate = bytes(members, name)?;
                if coordinate.len() != length {
                    return Err(KeyError::Malformed("a coordinate of the wrong length"));
                }
                point.extend(coordinate);
            }
            Key::public(algorithm, &point)?
        }
        Some("OKP") if curve == Some("Ed25519") => {
            let algorithm = fits(Family::Ed, Algorithm::EdDSA)?;
            let point = bytes(members, "x")?;
            if point.len() != 32 {
                return Err(KeyError::Malformed("a coordinate of the wrong length"));
            }
            Key::public(algorithm, &point)?
        }
        Some("OKP") => return Err(KeyError::Unsupported("a curve that is not supported")),
        Some("oct") => return Err(KeyError::Secret),
        Some(_) => return Err(KeyError::Unsupported("a key type that is not supported")),
        None => return Err(KeyError::Malformed("no `kty`")),
    };
    with_id(Key { issuers: KeyIssuers::read(members), ..key }, members)
}

/// `use` is absent or `sig`, and `key_ops` is absent or contains `verify`.
fn for_signatures(members: &Map<String, Value>) -> Result<(), KeyError> {
    let used = matches!(text_of(members, "use")?, None | Some("sig"));
    let verifies = match members.get("key_ops") {
        None => true,
        Some(Value::Array(all)) => all.iter().any(|one| one == "verify"),
        Some(_) => return Err(KeyError::Malformed("`key_ops` is not an array")),
    };
    if used && verifies { Ok(()) } else { Err(KeyError::OtherUse) }
}

fn algorithm(members: &Map<String, Value>) -> Result<Option<Algorithm>, KeyError> {
    match text_of(members, "alg")? {
        None => Ok(None),
        Some(name) => match Algorithm::from_name(name) {
            Some(algorithm) => Ok(Some(algorithm)),
            None => Err(KeyError::Unsupported("an algorithm that is not supported")),
        },
    }
}

fn with_id(key: Key, members: &Map<String, Value>) -> Result<Key, KeyError> {
    Ok(match text_of(members, "kid")? {
        Some(id) => key.with_id(id),
        None => key,
    })
}

fn text_of<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyError::Malformed("a member is not a string")),
    }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyError> {
    let text = text_of(members, name)?.ok_or(KeyError::Malformed("a member is missing"))?;
    let malformed = |_| KeyError::Malformed("a member is not base64url without padding");
    URL_SAFE_NO_PAD.decode(text).map_err(malformed)
}
