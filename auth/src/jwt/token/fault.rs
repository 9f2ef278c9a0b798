//! Failures of checks, for the operator. They never contain the token's text.

use std::borrow::Cow;

use serde_json::Value;

use crate::decide::failure::{Failure, Reason};

/// A failed check of an invalid token.
pub(crate) fn invalid(
    check: &'static str,
    expected: impl Into<Cow<'static, str>>,
    received: impl AsRef<str>,
) -> Failure {
    Failure::new(Reason::TokenInvalid, check).expected(expected).received(received.as_ref())
}

/// The value of a member for the operator: strings and numbers as they are, otherwise the type.
pub(crate) fn shown_value(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None => "nothing".into(),
        Some(Value::String(text)) => text.into(),
        Some(Value::Number(number)) => number.to_string().into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Bool(_)) => "a boolean".into(),
        Some(Value::Object(_)) => "an object".into(),
        Some(Value::Array(values)) => {
            let texts = values.iter().filter_map(Value::as_str).take(8);
            texts.collect::<Vec<_>>().join(", ").into()
        }
    }
}
