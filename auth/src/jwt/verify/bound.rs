//! Tokens that are bound to a certificate (RFC 8705 §3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::decide::failure::Failure;
#[cfg(feature = "mtls")]
use crate::decide::incoming::Incoming;
use crate::jwt::token::claims::Claims;
use crate::jwt::token::fault::{invalid, shown_value};
#[cfg(feature = "mtls")]
use crate::mtls::presented::Certificates;

/// SHA-256 of the certificate that a token is bound to.
pub(crate) type Thumbprint = [u8; 32];

/// The certificate that a token is bound to; `None` for a bearer token.
///
/// A token that is bound to a key (RFC 7800) is not a bearer token. If it is bound in a way that is not verified here,
/// or in several ways, it is refused.
pub(crate) fn bound_to(claims: &Claims, is_verified: bool) -> Result<Option<Thumbprint>, Failure> {
    let Some(bound) = claims.members.get("cnf") else { return Ok(None) };
    let only = bound.as_object().filter(|members| is_verified && members.len() == 1);
    if let Some(Value::String(text)) = only.and_then(|members| members.get("x5t#S256")) {
        let hash = URL_SAFE_NO_PAD.decode(text).ok().and_then(|hash| hash.try_into().ok());
        return match hash {
            Some(hash) => Ok(Some(hash)),
            None => Err(invalid("cnf", "a SHA-256 in base64url", "something else")),
        };
    }
    let names = bound.as_object().map(|members| {
        let names = members.keys().take(4).map(String::as_str);
        names.collect::<Vec<_>>().join(", ")
    });
    let expected = if is_verified { "only x5t#S256" } else { "nothing" };
    let received = names.unwrap_or_else(|| shown_value(Some(bound)).into_owned());
    Err(invalid("cnf", expected, received))
}

/// Whether the caller has the certificate that the token is bound to.
#[cfg(feature = "mtls")]
pub(crate) fn is_held(
    bound: &Thumbprint,
    certificates: Option<&Certificates>,
    call: &Incoming<'_>,
) -> Result<(), Failure> {
    let expected = "the certificate that the token is bound to";
    match certificates.map_or(Ok(None), |certificates| certificates.thumbprint(call))? {
        Some(presented) if presented == *bound => Ok(()),
        Some(_) => Err(invalid("cnf", expected, "another certificate")),
        None => Err(invalid("cnf", expected, "no certificate")),
    }
}
