//! OpenID Connect Discovery 1.0.

use http::Uri;
use http::uri::Scheme;
use serde_json::Value;

use super::address;
use crate::jwt::keys::events::FetchResult;
use crate::jwt::keys::source::NoKeys;
use crate::jwt::token::json::{Duplicates, object};

/// The URL of an issuer's discovery document (§4).
pub(super) fn document_of(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// The URL of the keys in a discovery document. The document must be of that issuer (§4.3), and if it was fetched
/// over TLS, so must be the keys.
pub(super) fn keys_of(
    document: &[u8],
    from: &Uri,
    issuer: &str,
    plain: bool,
) -> Result<Uri, NoKeys> {
    let malformed = |why| NoKeys::new(FetchResult::Malformed, why);
    let members = object(document, Duplicates::Refused)
        .map_err(|why| malformed(format!("the discovery document is {}", why.found())))?;
    if members.get("issuer").and_then(Value::as_str) != Some(issuer) {
        let why = "the discovery document is of another issuer";
        return Err(NoKeys::new(FetchResult::WrongIssuer, why));
    }
    let Some(keys) = members.get("jwks_uri").and_then(Value::as_str) else {
        return Err(malformed("the discovery document has no `jwks_uri`".to_owned()));
    };
    let refused = |why| NoKeys::new(FetchResult::Refused, format!("the `jwks_uri` is {why}"));
    let keys = address::parse(keys, plain).map_err(refused)?;
    if from.scheme() == Some(&Scheme::HTTPS) && keys.scheme() != Some(&Scheme::HTTPS) {
        return Err(refused("plain http, although the document was fetched over https"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(document: &str) -> Result<String, FetchResult> {
        let from = Uri::from_static("https://id.example/.well-known/openid-configuration");
        let keys = keys_of(document.as_bytes(), &from, "https://id.example", false);
        keys.map(|uri| uri.to_string()).map_err(|why| why.result)
    }

    #[test]
    fn the_document_is_below_the_issuer() {
        for issuer in ["https://id.example/realms/a", "https://id.example/realms/a/"] {
            let document = "https://id.example/realms/a/.well-known/openid-configuration";
            assert_eq!(document_of(issuer), document);
        }
    }

    #[test]
    fn keys_08_the_document_is_the_issuers_own() {
        let keys = "https://keys.example/jwks";
        let document = |issuer: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        assert_eq!(result(&document("https://id.example")), Ok(keys.to_owned()));
        for other in ["https://id.example/", "https://ID.example", "https://evil.example", ""] {
            assert_eq!(result(&document(other)), Err(FetchResult::WrongIssuer), "{other}");
        }
        assert_eq!(result(r#"{"jwks_uri":"https://a/"}"#), Err(FetchResult::WrongIssuer));
    }

    #[test]
    fn keys_08_a_document_that_came_by_https_does_not_lead_to_plain_http() {
        let document = |keys: &str| {
            format!(r#"{{"issuer":"https://id.example","jwks_uri":"{keys}"}}"#).into_bytes()
        };
        let issuer = "https://id.example";
        for keys in ["http://127.0.0.1/keys", "http://localhost:1/keys", "http://id.example/keys"] {
            for (from, is_taken) in [("https://id.example/d", false), ("http://localhost/d", true)]
            {
                let taken = keys_of(&document(keys), &Uri::from_static(from), issuer, true);
                assert_eq!(taken.is_ok(), is_taken, "{keys} {from}");
            }
        }
    }

    #[test]
    fn where_the_keys_are_must_be_an_address_that_may_be_asked() {
        let document =
            |keys: &str| format!(r#"{{"issuer":"https://id.example","jwks_uri":{keys}}}"#);
        assert_eq!(result(&document(r#""http://keys.example/""#)), Err(FetchResult::Refused));
        assert_eq!(result(&document(r#""file:///etc/passwd""#)), Err(FetchResult::Refused));
        assert_eq!(result(&document("7")), Err(FetchResult::Malformed));
        assert_eq!(result("<html>"), Err(FetchResult::Malformed));
        let twice = r#"{"issuer":"https://id.example","issuer":"https://id.example"}"#;
        assert_eq!(result(twice), Err(FetchResult::Malformed));
    }
}
