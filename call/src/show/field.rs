//! Values of the fields that handlers add to a call's log line.

use std::borrow::Cow;

/// The value of a field that a handler adds to the call's log line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FieldValue {
    /// Text.
    Text(Cow<'static, str>),
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating point number.
    Float(f64),
    /// A boolean.
    Bool(bool),
}

impl From<String> for FieldValue {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<&'static str> for FieldValue {
    fn from(value: &'static str) -> Self {
        Self::Text(value.into())
    }
}

impl From<Cow<'static, str>> for FieldValue {
    fn from(value: Cow<'static, str>) -> Self {
        Self::Text(value)
    }
}

impl From<usize> for FieldValue {
    fn from(value: usize) -> Self {
        // No platform has more than 64 bits.
        Self::Unsigned(value as u64)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<i32> for FieldValue {
    fn from(value: i32) -> Self {
        Self::Signed(value.into())
    }
}

impl From<u64> for FieldValue {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<u32> for FieldValue {
    fn from(value: u32) -> Self {
        Self::Unsigned(value.into())
    }
}

impl From<f64> for FieldValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
