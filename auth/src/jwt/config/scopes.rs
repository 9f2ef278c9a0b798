//! Reads the scopes of a token.

use serde_json::{Map, Value};

use crate::decide::failure::Failure;
use crate::jwt::token::fault::{invalid, shown_value};

/// Which claim contains the scopes.
#[derive(Clone, Debug)]
pub(crate) enum ScopesAt {
    /// `scope` (RFC 9068), or if it is absent `scp`.
    Usual,
    /// The claim at a JSON pointer (RFC 6901).
    Pointer(String),
}

impl ScopesAt {
    /// The scopes: the words of a string, or the strings of an array. If the claim is absent, there are none. Any
    /// other value is a failure.
    pub(crate) fn read(&self, claims: &Map<String, Value>) -> Result<Vec<String>, Failure> {
        let value = match self {
            Self::Usual => claims.get("scope").or_else(|| claims.get("scp")),
            Self::Pointer(path) => at(claims, path),
        };
        let scopes = match value {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::String(words)) => {
                Some(words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect())
            }
            Some(Value::Array(texts)) => {
                texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        let name = match self {
            Self::Usual => "scope",
            Self::Pointer(_) => "scopes_at",
        };
        scopes.ok_or_else(|| invalid(name, "a string or an array of strings", shown_value(value)))
    }
}

fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let path = path.strip_prefix('/')?;
    let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(at: &ScopesAt, claims: &Value) -> Option<Vec<String>> {
        at.read(claims.as_object().expect("an object")).ok()
    }

    #[test]
    fn scopes_are_words_or_an_array_in_scope_or_scp() {
        let two = Some(vec!["a.read".to_owned(), "b".to_owned()]);
        for claims in [
            json!({ "scope": "a.read b" }),
            json!({ "scope": " a.read  b " }),
            json!({ "scope": ["a.read", "b"] }),
            json!({ "scp": "a.read b" }),
            json!({ "scp": ["a.read", "b"] }),
            json!({ "scope": "a.read b", "scp": "c" }),
        ] {
            assert_eq!(read(&ScopesAt::Usual, &claims), two, "{claims}");
        }
        assert_eq!(read(&ScopesAt::Usual, &json!({})), Some(vec![]));
        for odd in
            [json!({ "scope": 1 }), json!({ "scope": ["a", 1] }), json!({ "scp": { "a": 1 } })]
        {
            assert_eq!(read(&ScopesAt::Usual, &odd), None, "{odd}");
        }
    }

    #[test]
    fn a_pointer_shows_where_else_the_scopes_are() {
        let keycloak = ScopesAt::Pointer("/realm_access/roles".to_owned());
        let claims = json!({ "realm_access": { "roles": ["admin"] }, "scope": "ignored" });
        assert_eq!(read(&keycloak, &claims), Some(vec!["admin".to_owned()]));
        assert_eq!(read(&keycloak, &json!({ "realm_access": {} })), Some(vec![]));
        assert_eq!(read(&keycloak, &json!({ "realm_access": { "roles": 7 } })), None);

        let escaped = ScopesAt::Pointer("/https:~1~1id.example~1roles/0".to_owned());
        let claims = json!({ "https://id.example/roles": ["a b"] });
        assert_eq!(read(&escaped, &claims), Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
