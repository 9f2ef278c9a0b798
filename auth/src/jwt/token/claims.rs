use serde_json::{Map, Number, Value};

use super::date::Date;
use super::fault::{invalid, shown_value};
use super::json::{Duplicates, object};
use crate::decide::failure::Failure;

/// The claims of a token, with the required ones parsed. They are not verified yet.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) members: Map<String, Value>,
    pub(crate) issuer: Option<String>,
    pub(crate) expires: Option<Date>,
    pub(crate) not_before: Option<Date>,
    pub(crate) issued: Option<Date>,
}

/// Which claims every token must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed {
    pub(crate) issuer: bool,
    pub(crate) expiry: bool,
}

impl Claims {
    pub(crate) fn read(text: &[u8], needed: Needed) -> Result<Self, Failure> {
        let members = object(text, Duplicates::Refused)
            .map_err(|why| invalid("payload", "one JSON object", why.found()))?;
        let issuer = match members.get("iss") {
            Some(Value::String(issuer)) => Some(issuer.clone()),
            None if !needed.issuer => None,
            value => return Err(invalid("iss", "a string", shown_value(value))),
        };
        let expires = date(&members, "exp", Date::from_number)?;
        if needed.expiry && expires.is_none() {
            return Err(invalid("exp", "a number of seconds", "nothing"));
        }
        let not_before = date(&members, "nbf", Date::start_from_number)?;
        let issued = date(&members, "iat", Date::from_number)?;
        Ok(Self { members, issuer, expires, not_before, issued })
    }

    /// The issuer, or an empty text.
    pub(crate) fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or_default()
    }
}

fn date(
    members: &Map<String, Value>,
    name: &'static str,
    read: fn(&Number) -> Option<Date>,
) -> Result<Option<Date>, Failure> {
    match members.get(name) {
        None => Ok(None),
        value @ Some(Value::Number(number)) => match read(number) {
            Some(date) => Ok(Some(date)),
            None => Err(invalid(name, "seconds from 1970 to the year 9999", shown_value(value))),
        },
        value => Err(invalid(name, "a number of seconds", shown_value(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::failure::Reason;

    const BOTH: Needed = Needed { issuer: true, expiry: true };

    fn failed(text: &str) -> &'static str {
        Claims::read(text.as_bytes(), BOTH).expect_err(text).check()
    }

    #[test]
    fn rule_06_no_claim_stands_twice() {
        assert_eq!(failed(r#"{"iss":"a","exp":1,"aud":"x","aud":"y"}"#), "payload");
        assert_eq!(failed(r#"{"iss":"a","iss":"b","exp":1}"#), "payload");
    }

    #[test]
    fn rule_09_an_issuer_is_one_text() {
        for iss in ["null", "1", "[\"a\"]", "{}", "true"] {
            assert_eq!(failed(&format!(r#"{{"iss":{iss},"exp":1}}"#)), "iss", "{iss}");
        }
        assert_eq!(failed(r#"{"exp":1}"#), "iss");
    }

    #[test]
    fn rule_11_exp_must_be_there_and_a_number() {
        assert_eq!(failed(r#"{"iss":"a"}"#), "exp");
        for exp in [
            "null",
            "\"9999999999\"",
            "[1]",
            "true",
            "{}",
            r#"{"$serde_json::private::Number":"1"}"#,
        ] {
            assert_eq!(failed(&format!(r#"{{"iss":"a","exp":{exp}}}"#)), "exp", "{exp}");
        }
    }

    #[test]
    fn rule_11_a_date_that_no_clock_shows_is_malformed() {
        for (claim, value) in [
            ("exp", "1e300"),
            ("exp", "253402300800"),
            ("exp", "-1"),
            ("nbf", "1e300"),
            ("nbf", "-1e300"),
            ("iat", "253402300800"),
            ("iat", "-1"),
        ] {
            let text = match claim {
                "exp" => format!(r#"{{"iss":"a","exp":{value}}}"#),
                _ => format!(r#"{{"iss":"a","exp":1,"{claim}":{value}}}"#),
            };
            let failure = Claims::read(text.as_bytes(), BOTH).expect_err(&text);
            assert_eq!(
                (failure.reason(), failure.check()),
                (Reason::TokenInvalid, claim),
                "{text}"
            );
        }
    }

    #[test]
    fn what_need_not_be_there_must_still_be_well_formed() {
        let neither = Needed { issuer: false, expiry: false };
        let claims = Claims::read(b"{}", neither).expect("nothing is needed");
        assert_eq!((claims.issuer, claims.expires), (None, None));
        for (text, check) in [(r#"{"iss":7}"#, "iss"), (r#"{"exp":"1"}"#, "exp")] {
            assert_eq!(Claims::read(text.as_bytes(), neither).expect_err(text).check(), check);
        }
    }

    #[test]
    fn rule_12_nbf_and_iat_are_numbers_if_they_are_there() {
        assert_eq!(failed(r#"{"iss":"a","exp":1,"nbf":"0"}"#), "nbf");
        assert_eq!(failed(r#"{"iss":"a","exp":1,"nbf":null}"#), "nbf");
        assert_eq!(failed(r#"{"iss":"a","exp":1,"iat":"0"}"#), "iat");
    }
}
