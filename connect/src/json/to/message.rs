use std::ops::Range;

use super::broken::Broken;
use super::writer::{JsonWriter, Span};
use crate::json::schema::{Field, Kind, Shape, Special, Type};

impl<'a> JsonWriter<'a> {
    /// A message as a JSON value.
    pub(super) fn message(&mut self, of: &'a Type, data: &[u8]) -> Result<(), Broken> {
        match of.special {
            Special::None | Special::Empty => {
                self.out.push(b'{');
                self.fields(of, data, true)?;
                self.out.push(b'}');
                Ok(())
            }
            Special::Any => self.any(data),
            Special::Timestamp => self.timestamp(data),
            Special::Duration => self.duration(data),
            Special::FieldMask => self.field_mask(data),
            _ => {
                let base = self.collect(of, data)?;
                let spans = base..self.spans.len();
                match of.special {
                    Special::Value => self.value(of, data, spans)?,
                    Special::Wrapper => self.wrapper(&of.fields[0], data, spans)?,
                    _ => self.repeated(&of.fields[0], data, spans)?,
                }
                self.spans.truncate(base);
                Ok(())
            }
        }
    }

    /// The members of an object; `first` if none was written before.
    pub(super) fn fields(
        &mut self,
        of: &'a Type,
        data: &[u8],
        mut first: bool,
    ) -> Result<(), Broken> {
        if self.in_order {
            return self.in_order(of, data, &mut first);
        }
        let base = self.collect(of, data)?;
        let (mut at, end, mut next) = (base, self.spans.len(), 0);
        while at < end {
            let index = self.spans[at].field;
            let same = self.spans[at..end].iter().take_while(|span| span.field == index).count();
            if self.defaults {
                self.absent(of, next..index, &mut first);
            }
            self.field(&of.fields[index], data, at..at + same, &mut first)?;
            next = index + 1;
            at += same;
        }
        if self.defaults {
            self.absent(of, next..of.fields.len(), &mut first);
        }
        self.spans.truncate(base);
        Ok(())
    }

    /// The default values of fields that are absent.
    pub(super) fn absent(&mut self, of: &'a Type, fields: Range<usize>, first: &mut bool) {
        for field in &of.fields[fields] {
            match field.shape {
                Shape::Single if field.presence => {}
                Shape::Single => {
                    self.key(field, first);
                    self.default(&field.kind);
                }
                Shape::List => {
                    self.key(field, first);
                    self.out.extend_from_slice(b"[]");
                }
                Shape::Map(_) => {
                    self.key(field, first);
                    self.out.extend_from_slice(b"{}");
                }
            }
        }
    }

    /// The name before a value; its length in the output before that.
    fn key(&mut self, field: &Field, first: &mut bool) {
        let key = field.json_key.as_bytes();
        self.out.extend_from_slice(&key[usize::from(std::mem::take(first))..]);
    }

    fn field(
        &mut self,
        field: &'a Field,
        data: &[u8],
        spans: Range<usize>,
        first: &mut bool,
    ) -> Result<(), Broken> {
        let Span { start, end, .. } = self.spans[spans.end - 1];
        match (&field.shape, &field.kind) {
            (Shape::Single, &Kind::Message(index, _)) => {
                let of = self.schema.at(index);
                if spans.len() == 1 {
                    return self.single(field, &data[start..end], first);
                }
                self.key(field, first);
                // Parts of one message are merged, and so are their bytes one after the other.
                let parts: Vec<&[u8]> =
                    self.spans[spans].iter().map(|span| &data[span.start..span.end]).collect();
                self.deeper(1, |writer| writer.message(of, &parts.concat()))
            }
            (Shape::Single, _) => self.single(field, &data[start..end], first),
            _ => self.repeated_field(field, data, spans, first),
        }
    }

    /// A field that comes once, and is neither a list nor a map.
    pub(super) fn single(
        &mut self,
        field: &'a Field,
        value: &[u8],
        first: &mut bool,
    ) -> Result<(), Broken> {
        if let Kind::Message(index, _) = field.kind {
            self.key(field, first);
            let of = self.schema.at(index);
            return self.deeper(1, |writer| writer.message(of, value));
        }
        if field.presence || self.defaults || !Self::is_default(&field.kind, value)? {
            self.key(field, first);
            self.scalar(&field.kind, value)?;
        }
        Ok(())
    }

    /// A list or a map.
    pub(super) fn repeated_field(
        &mut self,
        field: &'a Field,
        data: &[u8],
        spans: Range<usize>,
        first: &mut bool,
    ) -> Result<(), Broken> {
        let is_packed = |span: &Span| span.sized && field.kind.wire() != crate::json::wire::LEN;
        // An empty packed list is an absent one.
        if !self.defaults
            && field.shape == Shape::List
            && self.spans[spans.clone()]
                .iter()
                .all(|span| span.start == span.end && is_packed(span))
        {
            return Ok(());
        }
        self.key(field, first);
        self.repeated(field, data, spans)
    }
}
