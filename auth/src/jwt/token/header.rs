use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::fault::{invalid, shown_value};
use super::json::{Duplicates, object};
use crate::decide::failure::Failure;

/// A token's header. Other members are ignored (RFC 7515 §4), in particular `jku`, `x5u`, `jwk` and `x5c`: only the
/// token itself vouches for these keys.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) typ: Option<String>,
}

impl Header {
    pub(crate) fn read(text: &[u8]) -> Result<Self, Failure> {
        let members = object(text, Duplicates::Refused)
            .map_err(|why| invalid("header", "one JSON object", why.found()))?;
        let algorithm = algorithm(&members)?;
        no_extensions(&members)?;
        let key_id = text_of(&members, "kid")?;
        let typ = text_of(&members, "typ")?;
        Ok(Self { algorithm, key_id, typ })
    }
}

fn algorithm(members: &Map<String, Value>) -> Result<Algorithm, Failure> {
    let value = members.get("alg");
    value
        .and_then(Value::as_str)
        .and_then(Algorithm::from_name)
        .ok_or_else(|| invalid("alg", "a supported algorithm", shown_value(value)))
}

/// Refuses extensions that change the meaning of a token.
fn no_extensions(members: &Map<String, Value>) -> Result<(), Failure> {
    // No extension is supported, and an empty list, or one of standard names, is invalid (RFC 7515 §4.1.11).
    if let Some(value) = members.get("crit") {
        return Err(invalid("crit", "nothing", shown_value(Some(value))));
    }
    // RFC 7797: an unencoded payload.
    if members.get("b64").is_some_and(|value| value != &Value::Bool(true)) {
        return Err(invalid("b64", "an encoded payload", "an unencoded payload"));
    }
    // Members of encrypted tokens.
    for name in ["enc", "zip"] {
        if let Some(value) = members.get(name) {
            return Err(invalid(name, "nothing", shown_value(Some(value))));
        }
    }
    Ok(())
}

fn text_of(members: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Failure> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        value => Err(invalid(name, "a string", shown_value(value))),
    }
}

/// The required `typ`.
#[derive(Clone, Debug)]
pub(crate) enum Typ {
    /// Absent, `JWT` or `at+jwt`.
    Usual,
    /// Absent or `JWT`.
    Plain,
    /// Exactly this (explicit typing of RFC 8725).
    Exactly(String),
}

impl Typ {
    /// Compares media types, case-insensitive and with `application/` implied (RFC 7515 §4.1.9).
    pub(crate) fn check(&self, typ: Option<&str>) -> Result<(), Failure> {
        let fault = |expected: String| Err(invalid("typ", expected, typ.unwrap_or("nothing")));
        let is = |wanted: &str| typ.is_some_and(|typ| bare(typ).eq_ignore_ascii_case(bare(wanted)));
        match self {
            Self::Usual if typ.is_none() || is("JWT") || is("at+jwt") => Ok(()),
            Self::Usual => fault("nothing, JWT or at+jwt".to_owned()),
            Self::Plain if typ.is_none() || is("JWT") => Ok(()),
            Self::Plain => fault("nothing or JWT".to_owned()),
            Self::Exactly(wanted) if is(wanted) => Ok(()),
            Self::Exactly(wanted) => fault(wanted.clone()),
        }
    }
}

fn bare(typ: &str) -> &str {
    match typ.split_once('/') {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("application") && !rest.contains('/') => {
            rest
        }
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> &'static str {
        Header::read(text.as_bytes()).expect_err(text).check()
    }

    #[test]
    fn rule_01_algorithms_are_compared_case_by_case() {
        for alg in ["noNE", "NONE", "rs256", "Rs256", "HS256 ", "", "RS257", "A128KW", "ES256K"] {
            assert_eq!(failed(&format!(r#"{{"alg":"{alg}"}}"#)), "alg", "{alg}");
        }
        for odd in ["{}", r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#, r#"{"Alg":"RS256"}"#] {
            assert_eq!(failed(odd), "alg", "{odd}");
        }
    }

    #[test]
    fn rule_02_none_is_no_algorithm() {
        assert_eq!(failed(r#"{"alg":"none"}"#), "alg");
    }

    #[test]
    fn rule_06_a_header_has_no_member_twice() {
        assert_eq!(failed(r#"{"alg":"RS256","alg":"HS256"}"#), "header");
        assert_eq!(failed(r#"{"alg":"RS256","kid":"a","kid":"b"}"#), "header");
    }

    #[test]
    fn rule_07_nothing_critical_is_understood() {
        for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", r#"["alg"]"#, "null", "{}", "1", "[1]"] {
            assert_eq!(failed(&format!(r#"{{"alg":"RS256","crit":{crit}}}"#)), "crit", "{crit}");
        }
        assert_eq!(failed(r#"{"alg":"RS256","b64":false}"#), "b64");
        assert_eq!(failed(r#"{"alg":"RS256","b64":"x"}"#), "b64");
        assert!(Header::read(br#"{"alg":"RS256","b64":true}"#).is_ok());
    }

    #[test]
    fn rule_05_a_header_of_an_encrypted_token_is_refused() {
        assert_eq!(failed(r#"{"alg":"RS256","enc":"A128GCM"}"#), "enc");
        assert_eq!(failed(r#"{"alg":"RS256","zip":"DEF"}"#), "zip");
    }

    #[test]
    fn rule_08_what_is_not_known_is_ignored() {
        let header = br#"{"alg":"RS256","x":{"y":[1]},"cty":"JWT","x5t":"abc"}"#;
        assert!(Header::read(header).is_ok());
    }

    #[test]
    fn rule_13_typ_is_absent_jwt_or_an_access_token() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/jwt"] {
            assert!(Typ::Usual.check(Some(typ)).is_ok(), "{typ}");
        }
        assert!(Typ::Usual.check(None).is_ok());
        for typ in
            ["", "JOSE", "id+jwt", "logout+jwt", "secevent+jwt", "x/jwt", "application/x/jwt"]
        {
            assert!(Typ::Usual.check(Some(typ)).is_err(), "{typ}");
        }
        assert_eq!(failed(r#"{"alg":"RS256","typ":1}"#), "typ");
    }

    #[test]
    fn rule_13_a_type_that_is_asked_for_must_be_there() {
        let typ = Typ::Exactly("at+jwt".to_owned());
        assert!(typ.check(Some("application/AT+jwt")).is_ok());
        for other in [None, Some("JWT"), Some("at"), Some("application/application/at+jwt")] {
            assert!(typ.check(other).is_err(), "{other:?}");
        }
        assert!(Typ::Plain.check(Some("at+jwt")).is_err());
        assert!(Typ::Plain.check(Some("JWT")).is_ok());
        assert!(Typ::Plain.check(None).is_ok());
    }
}
