//! Reads JSON, and knows where in it each value is.

use std::time::Duration;

use serde_json::Value;
use tonic::Code;

use super::duration;
use super::error::ConfigError;
use crate::show::{CODES, code_name, sanitize};

/// A value of the JSON, and its path: `methodConfig[2].timeout`.
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
}

type Read<T> = Result<T, ConfigError>;

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path.as_str(), problem)
    }

    fn wrong(&self, expected: &str) -> ConfigError {
        let is = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.error(format!("must be {expected}, and is {is}"))
    }

    /// A field of this object. `null` is the same as no field.
    pub(super) fn field(&self, name: &str) -> Read<Option<Self>> {
        let Value::Object(fields) = self.value else { return Err(self.wrong("an object")) };
        let Some(value) = fields.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let dot = if self.path.is_empty() { "" } else { "." };
        Ok(Some(Self { value, path: format!("{}{dot}{name}", self.path) }))
    }

    /// A field that this object must have.
    pub(super) fn required(&self, name: &str) -> Read<Self> {
        self.field(name)?.ok_or_else(|| self.error(format!("has no `{name}`, which is required")))
    }

    /// The field of an object that must have exactly one, with its name.
    pub(super) fn only_field(&self) -> Read<(&'a str, Self)> {
        let Value::Object(fields) = self.value else { return Err(self.wrong("an object")) };
        let mut fields = fields.iter();
        match (fields.next(), fields.next()) {
            (Some((name, value)), None) => {
                Ok((name, Self { value, path: format!("{}.{}", self.path, sanitize(name)) }))
            }
            _ => Err(self.error("must have exactly one field")),
        }
    }

    pub(super) fn must_be_object(&self) -> Read<()> {
        if self.value.is_object() { Ok(()) } else { Err(self.wrong("an object")) }
    }

    pub(super) fn items(&self) -> Read<impl Iterator<Item = Self> + use<'a>> {
        let Value::Array(items) = self.value else { return Err(self.wrong("a list")) };
        let path = self.path.clone();
        let items = items.iter().enumerate();
        Ok(items.map(move |(index, value)| Self { value, path: format!("{path}[{index}]") }))
    }

    pub(super) fn text(&self) -> Read<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub(super) fn boolean(&self) -> Read<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong("a boolean"))
    }

    pub(super) fn integer_from(&self, least: u64) -> Read<u64> {
        let Value::Number(number) = self.value else { return Err(self.wrong("an integer")) };
        let integer = number.as_u64().filter(|integer| *integer >= least);
        integer.ok_or_else(|| self.error(format!("must be an integer of at least {least}")))
    }

    /// An integer, or a string with one: JSON has large integers of protobuf as strings.
    pub(super) fn size(&self) -> Read<u64> {
        let Value::String(text) = self.value else { return self.integer_from(0) };
        let all_digits = text.bytes().all(|digit| digit.is_ascii_digit());
        let size = text.parse().ok().filter(|_| all_digits);
        size.ok_or_else(|| self.error("must be an integer of at least 0"))
    }

    pub(super) fn positive_number(&self) -> Read<f64> {
        let Value::Number(number) = self.value else { return Err(self.wrong("a number")) };
        let number = number.as_f64().filter(|number| *number > 0.0 && number.is_finite());
        number.ok_or_else(|| self.error("must be more than zero"))
    }

    pub(super) fn positive_duration(&self) -> Read<Duration> {
        let Value::String(text) = self.value else {
            return Err(self.wrong("a duration, such as \"1.5s\""));
        };
        match duration::parse(text) {
            Some(Duration::ZERO) => Err(self.error("must be more than zero")),
            Some(duration) => Ok(duration),
            None => {
                Err(self
                    .error(format!("is not a duration, such as \"1.5s\": {:?}", sanitize(text))))
            }
        }
    }

    /// A code by its name, in upper or lower case, or by its number.
    pub(super) fn code(&self) -> Read<Code> {
        let (code, shown) = match self.value {
            Value::String(name) => {
                let is_named = |code: &Code| code_name(*code).eq_ignore_ascii_case(name);
                (CODES.into_iter().find(is_named), sanitize(name).into_owned())
            }
            Value::Number(number) => {
                let index = number.as_u64().and_then(|index| usize::try_from(index).ok());
                (index.and_then(|index| CODES.get(index).copied()), number.to_string())
            }
            _ => return Err(self.wrong("the name or number of a status code")),
        };
        code.ok_or_else(|| self.error(format!("{shown:?} is not a status code of gRPC")))
    }
}
