//! Why a token isn't taken: for the operator all of it, for the caller only its kind.

use std::borrow::Cow;

use tonic_call::printable;

/// How much of a received value is shown.
const SHOWN_AT_MOST: usize = 200;

/// The check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// What was looked at, by the name it has in the token or in the request.
    pub(crate) check: &'static str,
    /// What would have passed.
    pub(crate) expected: Cow<'static, str>,
    /// What was there: on one line, cut, and never a part of the token's own text.
    pub(crate) received: Cow<'static, str>,
}

/// What the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultKind {
    /// What the request says of its credentials can't be read.
    Malformed,
    /// The token is not one that may be taken.
    Invalid,
    /// The token was good, once.
    Expired,
    /// Too much of what came from that address was refused.
    Limited,
    /// Whether the token is good can't be told now.
    Unavailable,
}

impl Fault {
    pub(crate) fn new(
        kind: FaultKind,
        check: &'static str,
        expected: impl Into<Cow<'static, str>>,
        received: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind, check, expected: expected.into(), received: received.into() }
    }

    pub(crate) fn malformed(
        check: &'static str,
        expected: impl Into<Cow<'static, str>>,
        received: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(FaultKind::Malformed, check, expected, received)
    }

    pub(crate) fn invalid(
        check: &'static str,
        expected: impl Into<Cow<'static, str>>,
        received: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(FaultKind::Invalid, check, expected, received)
    }

    pub(crate) fn unavailable(check: &'static str, received: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FaultKind::Unavailable, check, "keys of the issuer", received)
    }
}

/// What somebody else wrote, fit to be shown.
pub(crate) fn shown(text: &str) -> String {
    let mut end = text.len().min(SHOWN_AT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (head, rest) = text.split_at(end);
    let mut shown = printable(head).into_owned();
    if !rest.is_empty() {
        shown.push('…');
    }
    shown
}

/// What a member holds, fit to be shown: texts as they are, of others what they are.
pub(crate) fn shown_value(value: Option<&serde_json::Value>) -> Cow<'static, str> {
    use serde_json::Value;
    match value {
        None => "nothing".into(),
        Some(Value::String(text)) => shown(text).into(),
        Some(Value::Number(number)) => shown(&number.to_string()).into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Bool(_)) => "a boolean".into(),
        Some(Value::Object(_)) => "an object".into(),
        Some(Value::Array(values)) => {
            let texts = values.iter().filter_map(Value::as_str).take(8);
            shown(&texts.collect::<Vec<_>>().join(", ")).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_bounded_line() {
        assert_eq!(shown("billing"), "billing");
        assert_eq!(shown("a\nb\u{1b}"), r"a\nb\u{1b}");
        assert_eq!(shown(&"é".repeat(150)), format!("{}…", "é".repeat(100)));
        let many = serde_json::json!(["x".repeat(300), "y"]);
        assert!(shown_value(Some(&many)).len() < 300);
    }
}
