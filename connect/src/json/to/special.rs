use std::ops::Range;

use super::broken::Broken;
use super::writer::{JsonWriter, Span};
use crate::json::schema::{Field, Kind, Type};
use crate::json::wire::{self, LEN, VARINT};
use crate::json::{mask, time};

impl<'a> JsonWriter<'a> {
    pub(super) fn timestamp(&mut self, data: &[u8]) -> Result<(), Broken> {
        if time::write_timestamp(seconds_and_nanos(data)?, self.out) {
            Ok(())
        } else {
            Err(Broken::new("a timestamp is out of range"))
        }
    }

    pub(super) fn duration(&mut self, data: &[u8]) -> Result<(), Broken> {
        if time::write_duration(seconds_and_nanos(data)?, self.out) {
            Ok(())
        } else {
            Err(Broken::new("a duration is out of range"))
        }
    }

    pub(super) fn field_mask(&mut self, data: &[u8]) -> Result<(), Broken> {
        self.out.push(b'"');
        let empty = self.out.len();
        for field in wire::fields(data) {
            let (1, LEN, path) = field? else { continue };
            if self.out.len() > empty {
                self.out.push(b',');
            }
            if !std::str::from_utf8(path).is_ok_and(|path| mask::to_camel_case(path, self.out)) {
                return Err(Broken::new("a path of a field mask has no form in camelCase"));
            }
        }
        self.out.push(b'"');
        Ok(())
    }

    /// A `google.protobuf.Value`. One without a kind, which should not be, is null.
    pub(super) fn value(
        &mut self,
        of: &'a Type,
        data: &[u8],
        spans: Range<usize>,
    ) -> Result<(), Broken> {
        let Some(&Span { field, start, end, .. }) = self.spans[spans].last() else {
            self.plain("null");
            return Ok(());
        };
        let (kind, value) = (&of.fields[field].kind, &data[start..end]);
        let number = value.try_into().map(f64::from_le_bytes);
        if *kind == Kind::Double && number.is_ok_and(|number| !number.is_finite()) {
            return Err(Broken::new("a google.protobuf.Value is not a finite number"));
        }
        self.one(kind, value)
    }

    /// A wrapper: its value, the default too.
    pub(super) fn wrapper(
        &mut self,
        field: &'a Field,
        data: &[u8],
        spans: Range<usize>,
    ) -> Result<(), Broken> {
        match self.spans[spans].last() {
            Some(span) => self.scalar(&field.kind, &data[span.start..span.end]),
            None => {
                self.default(&field.kind);
                Ok(())
            }
        }
    }
}

fn seconds_and_nanos(data: &[u8]) -> Result<time::Time, Broken> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in wire::fields(data) {
        match field? {
            (1, VARINT, mut value) => seconds = wire::varint(&mut value)? as i64,
            (2, VARINT, mut value) => nanos = wire::varint(&mut value)? as i32,
            _ => {}
        }
    }
    Ok((seconds, nanos))
}
