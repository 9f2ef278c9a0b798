//! The requirements for the tokens of one issuer.

use std::time::Duration;

use serde_json::Value;

use crate::decide::failure::{Failure, Reason};
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::token::claims::Claims;
use crate::jwt::token::date::Date;
use crate::jwt::token::fault::{invalid, shown_value};
use crate::jwt::token::header::{Header, Typ};

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// A token must contain one of these audiences. `None` disables the check.
    pub(crate) audiences: Option<Vec<String>>,
    /// Whether a token can have no `aud`.
    pub(crate) audience_optional: bool,
    /// The allowed algorithms.
    pub(crate) algorithms: Vec<Algorithm>,
    /// The tolerated clock difference.
    pub(crate) leeway: Duration,
    /// How long before its `exp` a token expires. `None` disables the check.
    pub(crate) expires_before: Option<Duration>,
    /// The maximum lifetime.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) typ: Typ,
    /// Claims that must not be absent.
    pub(crate) present: Vec<String>,
    /// Claims that must be non-empty strings.
    pub(crate) required: &'static [&'static str],
    /// Whether `iat` is required.
    pub(crate) issued: bool,
    /// The required prefix of `sub`.
    pub(crate) subject: Option<&'static str>,
    /// Claims that must have exactly these values.
    pub(crate) exactly: Vec<(&'static str, String)>,
    /// The allowed `client_id`s.
    pub(crate) clients: Option<Vec<String>>,
}

impl Rules {
    /// Checks everything but the signature.
    pub(crate) fn check(&self, header: &Header, claims: &Claims, now: Date) -> Result<(), Failure> {
        self.algorithm(header)?;
        self.typ.check(header.typ.as_deref())?;
        self.present(claims)?;
        self.exact_texts(claims)?;
        self.audience(claims)?;
        self.client(claims)?;
        in_time(claims.expires, claims.not_before, self.leeway, now)?;
        self.lifetime(claims, now)?;
        self.texts(claims)
    }

    fn algorithm(&self, header: &Header) -> Result<(), Failure> {
        if self.algorithms.contains(&header.algorithm) {
            return Ok(());
        }
        let allowed: Vec<_> = self.algorithms.iter().map(|allowed| allowed.as_str()).collect();
        Err(invalid("alg", allowed.join(" or "), header.algorithm.as_str()))
    }

    fn present(&self, claims: &Claims) -> Result<(), Failure> {
        let absent = |name: &&String| claims.members.get(*name).is_none_or(Value::is_null);
        let Some(name) = self.present.iter().find(absent) else { return Ok(()) };
        let check = ["exp", "nbf", "iss", "aud", "sub"].into_iter().find(|check| check == name);
        Err(invalid(check.unwrap_or("claims"), format!("the claim `{name}`"), "nothing"))
    }

    /// Whether every token must have this claim.
    pub(crate) fn needs(&self, name: &str) -> bool {
        self.present.iter().any(|present| present == name)
    }

    /// When a token with this `exp` expires.
    pub(crate) fn expiry(&self, exp: Option<Date>) -> Option<Date> {
        exp.zip(self.expires_before).map(|(exp, before)| exp.minus(before))
    }

    /// Case-sensitive (RFC 7519 §4.1.3).
    fn audience(&self, claims: &Claims) -> Result<(), Failure> {
        let Some(audiences) = &self.audiences else { return Ok(()) };
        let value = claims.members.get("aud");
        let mine = |value: &Value| {
            value.as_str().is_some_and(|one| audiences.iter().any(|mine| mine == one))
        };
        let good = match value {
            Some(Value::Array(all)) => all.iter().all(Value::is_string) && all.iter().any(mine),
            Some(one) => mine(one),
            None => self.audience_optional,
        };
        if good {
            return Ok(());
        }
        let expected =
            if audiences.is_empty() { "nothing".to_owned() } else { audiences.join(" or ") };
        Err(invalid("aud", expected, shown_value(value)))
    }

    /// Case-sensitive.
    fn client(&self, claims: &Claims) -> Result<(), Failure> {
        let Some(clients) = &self.clients else { return Ok(()) };
        match claims.members.get("client_id") {
            Some(Value::String(client)) if clients.contains(client) => Ok(()),
            value => Err(invalid("client_id", clients.join(" or "), shown_value(value))),
        }
    }

    fn exact_texts(&self, claims: &Claims) -> Result<(), Failure> {
        for (name, text) in &self.exactly {
            let value = claims.members.get(*name);
            if value.and_then(Value::as_str) != Some(text) {
                return Err(invalid(name, text.clone(), shown_value(value)));
            }
        }
        Ok(())
    }

    /// From `iat`, if it is present, and also from now: an `iat` in the future must not extend the lifetime.
    fn lifetime(&self, claims: &Claims, now: Date) -> Result<(), Failure> {
        let Some(longest) = self.lifetime else { return Ok(()) };
        let whole = claims.expires.map(|expires| {
            let left = expires.since(now.plus(self.leeway));
            claims.issued.map_or(left, |issued| expires.since(issued).max(left))
        });
        if whole.is_some_and(|whole| whole <= longest) {
            return Ok(());
        }
        let expected = format!("a lifetime of at most {} s", longest.as_secs());
        let received = whole.map(|whole| format!("{} s", whole.as_secs()));
        Err(invalid("exp", expected, received.as_deref().unwrap_or("nothing")))
    }

    fn texts(&self, claims: &Claims) -> Result<(), Failure> {
        let get = |name: &str| claims.members.get(name);
        for name in self.required {
            match get(name) {
                Some(Value::String(text)) if !text.is_empty() => {}
                value => return Err(invalid(name, "a string", shown_value(value))),
            }
        }
        if self.issued && claims.issued.is_none() {
            return Err(invalid("iat", "a number of seconds", "nothing"));
        }
        let subject = match get("sub") {
            value @ Some(Value::String(text)) if !text.is_empty() => match self.subject {
                Some(prefix) if !text.starts_with(prefix) => value,
                _ => return Ok(()),
            },
            None if self.subject.is_none() => return Ok(()),
            value => value,
        };
        let expected = self.subject.map_or("a string".to_owned(), |prefix| format!("{prefix}…"));
        Err(invalid("sub", expected, shown_value(subject)))
    }
}

/// `now < exp` and `nbf <= now`, within the leeway.
pub(crate) fn in_time(
    expires: Option<Date>,
    not_before: Option<Date>,
    leeway: Duration,
    now: Date,
) -> Result<(), Failure> {
    if let Some(expires) = expires.filter(|expires| now >= expires.plus(leeway)) {
        let expected = format!("later than {} minus {} s", now.seconds(), leeway.as_secs());
        let received = expires.seconds().to_string();
        return Err(Failure::new(Reason::TokenExpired, "exp")
            .expected(expected)
            .received(&received));
    }
    match not_before {
        Some(start) if now.plus(leeway) < start => {
            let expected = format!("at most {} plus {} s", now.seconds(), leeway.as_secs());
            Err(invalid("nbf", expected, start.seconds().to_string()))
        }
        _ => Ok(()),
    }
}
