use std::io::Write as _;

use super::broken::Broken;
use super::writer::JsonWriter;
use crate::json::base64;
use crate::json::plain::{is_plain_ascii, plain_len};
use crate::json::schema::Kind;
use crate::json::wire::{self, Malformed};

impl JsonWriter<'_> {
    /// A value that is not a message.
    pub(super) fn scalar(&mut self, kind: &Kind, data: &[u8]) -> Result<(), Broken> {
        match kind {
            Kind::String if is_plain_ascii(data) => self.quoted(data),
            Kind::String => {
                let text =
                    std::str::from_utf8(data).map_err(|_| Broken::new("a string is not UTF-8"))?;
                self.string(text);
            }
            Kind::Bytes => {
                self.out.push(b'"');
                base64::encode(data, self.out);
                self.out.push(b'"');
            }
            Kind::Double => self.double(f64::from_le_bytes(array(data)?)),
            Kind::Float => self.float(f32::from_le_bytes(array(data)?)),
            Kind::Bool => self.plain(word(Self::integer(kind, data)? != 0)),
            Kind::Null => self.plain("null"),
            &Kind::Enum(index) => {
                let number = Self::integer(kind, data)?;
                let name = i32::try_from(number)
                    .ok()
                    .and_then(|number| self.schema.enumeration(index).names.get(&number));
                match name {
                    Some(name) => self.quoted(name),
                    None => self.number(number),
                }
            }
            Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
                let number = Self::integer(kind, data)?;
                self.quoted_number(number);
            }
            _ => {
                let number = Self::integer(kind, data)?;
                self.number(number);
            }
        }
        Ok(())
    }

    /// The default value of a kind that is not a message.
    pub(super) fn default(&mut self, kind: &Kind) {
        match kind {
            Kind::String | Kind::Bytes => self.plain("\"\""),
            Kind::Bool => self.plain("false"),
            Kind::Null | Kind::Message(..) => self.plain("null"),
            Kind::Double | Kind::Float => self.plain("0.0"),
            Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
                self.plain("\"0\"");
            }
            &Kind::Enum(index) => self.quoted(&self.schema.enumeration(index).first),
            _ => self.plain("0"),
        }
    }

    /// Whether this is the default value of its type.
    pub(super) fn is_default(kind: &Kind, data: &[u8]) -> Result<bool, Broken> {
        Ok(match kind {
            Kind::String | Kind::Bytes => data.is_empty(),
            Kind::Double | Kind::Float => data.iter().all(|&byte| byte == 0),
            _ => match data {
                // A varint of one byte.
                [byte @ 0..0x80] => *byte == 0,
                _ => Self::integer(kind, data)? == 0,
            },
        })
    }

    /// The value of an integer, an enum or a boolean.
    pub(super) fn integer(kind: &Kind, mut data: &[u8]) -> Result<i128, Broken> {
        Ok(match kind {
            Kind::Fixed32 => u32::from_le_bytes(array(data)?).into(),
            Kind::Sfixed32 => i32::from_le_bytes(array(data)?).into(),
            Kind::Fixed64 => u64::from_le_bytes(array(data)?).into(),
            Kind::Sfixed64 => i64::from_le_bytes(array(data)?).into(),
            _ => {
                // A varint that is longer than its type is cut, as everywhere in protobuf.
                let raw = wire::varint(&mut data)?;
                match kind {
                    Kind::Uint32 => i128::from(raw as u32),
                    Kind::Uint64 => raw.into(),
                    Kind::Sint32 => ((raw as u32 >> 1) as i32 ^ -((raw & 1) as i32)).into(),
                    Kind::Sint64 => ((raw >> 1) as i64 ^ -((raw & 1) as i64)).into(),
                    Kind::Int64 => (raw as i64).into(),
                    Kind::Bool => i128::from(raw != 0),
                    _ => (raw as i32).into(),
                }
            }
        })
    }

    fn double(&mut self, value: f64) {
        if value.is_finite() {
            let _ = serde_json::to_writer(&mut *self.out, &value);
        } else {
            self.not_finite(value);
        }
    }

    fn float(&mut self, value: f32) {
        if value.is_finite() {
            let _ = serde_json::to_writer(&mut *self.out, &value);
        } else {
            self.not_finite(value.into());
        }
    }

    fn not_finite(&mut self, value: f64) {
        self.plain(if value.is_nan() {
            "\"NaN\""
        } else if value > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        });
    }

    pub(super) fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Text in which nothing has to be escaped: a name, for example.
    pub(super) fn quoted(&mut self, text: impl AsRef<[u8]>) {
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_ref());
        self.out.push(b'"');
    }

    /// An integer: faster than formatting it.
    pub(super) fn number(&mut self, number: i128) {
        // None has more digits than `u64::MAX`.
        let (mut digits, mut at) = ([0; 20], 20);
        let mut rest = u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    pub(super) fn quoted_number(&mut self, number: i128) {
        self.out.push(b'"');
        self.number(number);
        self.out.push(b'"');
    }

    pub(super) fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        loop {
            let (plain, special) = rest.split_at(plain_len(rest));
            self.out.extend_from_slice(plain);
            let Some((&byte, after)) = special.split_first() else { break };
            rest = after;
            // A `Vec` takes all that is written: there is no error.
            let _ = match byte {
                b'"' | b'\\' => self.out.write_all(&[b'\\', byte]),
                b'\n' => self.out.write_all(b"\\n"),
                b'\r' => self.out.write_all(b"\\r"),
                b'\t' => self.out.write_all(b"\\t"),
                _ => write!(self.out, "\\u{byte:04x}"),
            };
        }
        self.out.push(b'"');
    }
}

pub(super) fn word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn array<const N: usize>(data: &[u8]) -> Result<[u8; N], Malformed> {
    data.try_into().map_err(|_| Malformed)
}
