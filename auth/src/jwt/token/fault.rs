//! Tells the operator which check failed, and nobody what the token's own text is.

use std::borrow::Cow;

use serde_json::Value;

use crate::decide::failure::{Failure, Reason};

/// A check that a token has failed: for that reason it isn't taken, whoever it is from.
pub(crate) fn invalid(
    check: &'static str,
    expected: impl Into<Cow<'static, str>>,
    received: impl AsRef<str>,
) -> Failure {
    Failure::new(Reason::TokenInvalid, check).expected(expected).received(received.as_ref())
}

/// What a member holds, to be shown: texts and numbers as they are, of others what they are.
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
