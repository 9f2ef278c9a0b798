use std::borrow::Cow;

use super::reader::Reader;
use crate::json::base64;
use crate::json::fault::{Fault, shown};
use crate::json::number::{self, NotInteger};
use crate::json::scan::Token;
use crate::json::schema::Kind;

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    Value,
    /// The default value of its type.
    Default,
    /// The name of an enum value that nobody knows, while unknown fields are ignored.
    Nothing,
}

impl Wrote {
    fn is_default(default: bool) -> Self {
        if default { Wrote::Default } else { Wrote::Value }
    }
}

impl<'a> Reader<'a> {
    /// A value that is not a message and begins with this token, without its tag.
    pub(super) fn scalar(&mut self, kind: &Kind, token: Token) -> Result<Wrote, Fault> {
        match kind {
            Kind::String => match token {
                Token::String => Ok(Wrote::is_default(self.scan.string_to(&mut self.out)?)),
                _ => Err(self.expected("a string", token)),
            },
            Kind::Bytes => {
                let text = self.text("a base64 string")?;
                let bytes =
                    base64::decode(&text).ok_or_else(|| self.scan.fault("malformed base64"))?;
                self.out.bytes(&bytes);
                Ok(Wrote::is_default(bytes.is_empty()))
            }
            Kind::Bool => match token {
                Token::True | Token::False => {
                    self.scan.word(token)?;
                    self.out.varint((token == Token::True).into());
                    Ok(Wrote::is_default(token == Token::False))
                }
                _ => Err(self.expected("a boolean", token)),
            },
            Kind::Null if token == Token::Null => {
                self.scan.word(token)?;
                self.out.varint(0);
                Ok(Wrote::Default)
            }
            Kind::Null | Kind::Enum(_) => self.enumeration(kind, token),
            _ => {
                let text = match token {
                    Token::Number => Cow::Borrowed(self.scan.number()?),
                    Token::String => self.scan.string()?,
                    _ => return Err(self.expected("a number", token)),
                };
                self.numeric(kind, &text, token == Token::String)
            }
        }
    }

    /// A string, or an error that names what was expected.
    pub(super) fn text(&mut self, what: &str) -> Result<Cow<'a, str>, Fault> {
        match self.scan.peek()? {
            Token::String => self.scan.string(),
            token => Err(self.expected(what, token)),
        }
    }

    fn enumeration(&mut self, kind: &Kind, token: Token) -> Result<Wrote, Fault> {
        let number = match token {
            Token::Number => {
                let text = self.scan.number()?;
                self.integer(text, i32::MIN, i32::MAX)?
            }
            Token::String => {
                let name = self.scan.string()?;
                let known = match kind {
                    &Kind::Enum(index) => {
                        self.schema.enumeration(index).numbers.get(&*name).copied()
                    }
                    _ => (name == "NULL_VALUE").then_some(0),
                };
                match known {
                    Some(number) => number,
                    None if self.refuse_unknown => {
                        return Err(self
                            .scan
                            .fault(format!("unknown enum value {}", shown(&name))));
                    }
                    None => return Ok(Wrote::Nothing),
                }
            }
            _ => return Err(self.expected("the name of an enum value", token)),
        };
        self.out.varint(i64::from(number) as u64);
        Ok(Wrote::is_default(number == 0))
    }

    /// A number from its text.
    fn numeric(&mut self, kind: &Kind, text: &str, quoted: bool) -> Result<Wrote, Fault> {
        let default = match kind {
            Kind::Double => {
                let value = self.float::<f64>(text, quoted, f64::is_infinite)?;
                self.out.raw(&value.to_le_bytes());
                value.to_bits() == 0
            }
            Kind::Float => {
                let value = self.float::<f32>(text, quoted, f32::is_infinite)?;
                self.out.raw(&value.to_le_bytes());
                value.to_bits() == 0
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                let value = self.integer(text, i32::MIN, i32::MAX)?;
                match kind {
                    Kind::Int32 => self.out.varint(i64::from(value) as u64),
                    Kind::Sint32 => self.out.varint(u64::from((value << 1 ^ value >> 31) as u32)),
                    _ => self.out.raw(&value.to_le_bytes()),
                }
                value == 0
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                let value = self.integer(text, i64::MIN, i64::MAX)?;
                match kind {
                    Kind::Int64 => self.out.varint(value as u64),
                    Kind::Sint64 => self.out.varint((value << 1 ^ value >> 63) as u64),
                    _ => self.out.raw(&value.to_le_bytes()),
                }
                value == 0
            }
            Kind::Uint32 | Kind::Fixed32 => {
                let value = self.integer(text, u32::MIN, u32::MAX)?;
                match kind {
                    Kind::Uint32 => self.out.varint(value.into()),
                    _ => self.out.raw(&value.to_le_bytes()),
                }
                value == 0
            }
            _ => {
                let value = self.integer(text, u64::MIN, u64::MAX)?;
                match kind {
                    Kind::Uint64 => self.out.varint(value),
                    _ => self.out.raw(&value.to_le_bytes()),
                }
                value == 0
            }
        };
        Ok(Wrote::is_default(default))
    }

    fn integer<T: TryFrom<i128> + std::fmt::Display + Copy>(
        &self,
        text: &str,
        min: T,
        max: T,
    ) -> Result<T, Fault> {
        let value = number::integer(text)
            .and_then(|value| T::try_from(value).map_err(|_| NotInteger::Range));
        value.map_err(|reason| {
            let text = shown(text);
            self.scan.fault(match reason {
                NotInteger::Malformed => format!("{text} is not a number"),
                NotInteger::Fraction => format!("{text} is not an integer"),
                NotInteger::Range => format!("{text} is not in the range from {min} to {max}"),
            })
        })
    }

    fn float<T: std::str::FromStr + Copy>(
        &self,
        text: &str,
        quoted: bool,
        is_infinite: fn(T) -> bool,
    ) -> Result<T, Fault> {
        let special = quoted && matches!(text, "NaN" | "Infinity" | "-Infinity");
        // Without quotes, the text was read as a number.
        if quoted && !special && !number::is_json(text) {
            return Err(self.scan.fault(format!("{} is not a number", shown(text))));
        }
        let value = text.parse().map_err(|_| self.scan.fault("malformed number"))?;
        if !special && is_infinite(value) {
            return Err(self.scan.fault(format!("{} is too large", shown(text))));
        }
        Ok(value)
    }

    /// The key of a map, from its text.
    pub(super) fn map_key(&mut self, kind: &Kind, text: &str) -> Result<(), Fault> {
        match kind {
            Kind::String => self.out.bytes(text.as_bytes()),
            Kind::Bool => match text {
                "true" => self.out.varint(1),
                "false" => self.out.varint(0),
                _ => return Err(self.scan.fault(format!("{} is not a boolean", shown(text)))),
            },
            _ => drop(self.numeric(kind, text, true)?),
        }
        Ok(())
    }

    /// The number of a `google.protobuf.Value`.
    pub(super) fn double(&mut self) -> Result<(), Fault> {
        let text = self.scan.number()?;
        self.numeric(&Kind::Double, text, false).map(drop)
    }
}
