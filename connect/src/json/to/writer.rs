use prost_reflect::MessageDescriptor;

use super::broken::Broken;
use crate::json::schema::{Schema, Type};
use crate::json::wire;

/// How deep messages may be nested, as in a protobuf decoder.
const MAX_DEPTH: usize = 100;

/// The JSON of a message, as far as it is written.
pub(in crate::json) struct JsonWriter<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) schema: &'a Schema,
    /// Whether fields with their default value are written.
    pub(super) defaults: bool,
    /// The fields of the messages that are being written.
    pub(super) spans: &'a mut Vec<Span>,
    /// Whether the fields are expected in the order of their numbers.
    pub(super) in_order: bool,
    depth: usize,
}

/// A field in a message's bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::json) struct Span {
    /// The index in the fields of its type.
    pub(super) field: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it has a length in the input: a packed list, among other things.
    pub(super) sized: bool,
}

impl Span {
    /// A value, and where it is between its tag and the next one.
    pub(super) fn of(field: usize, wire: u8, value: &[u8], after_tag: usize, end: usize) -> Self {
        let sized = wire == wire::LEN;
        // Behind a group is another tag.
        let start = if sized { end - value.len() } else { after_tag };
        Self { field, start, end: start + value.len(), sized }
    }
}

/// The field of a span that another member of its oneof replaced.
const REPLACED: usize = usize::MAX;

impl<'a> JsonWriter<'a> {
    /// Appends to `out`. `spans` has to be empty.
    pub(in crate::json) fn new(
        schema: &'a Schema,
        defaults: bool,
        out: &'a mut Vec<u8>,
        spans: &'a mut Vec<Span>,
    ) -> Self {
        Self { out, schema, defaults, spans, in_order: true, depth: 0 }
    }

    /// The whole input as this message.
    pub(in crate::json) fn write(
        mut self,
        message: &MessageDescriptor,
        data: &[u8],
    ) -> Result<(), Broken> {
        let Some(of) = self.schema.of(message) else {
            return Err(Broken::new("unknown message type"));
        };
        self.out.reserve(data.len().saturating_mul(2).saturating_add(64));
        let start = self.out.len();
        self.message(of, data).or_else(|_| {
            // Once more, from the beginning, so that it takes at most twice the time, however deep the message is. What
            // is wrong may be in a value that another one replaces.
            self.out.truncate(start);
            self.spans.clear();
            self.depth = 0;
            self.in_order = false;
            self.message(of, data)
        })
    }

    /// Writes what lies so many messages deeper.
    pub(super) fn deeper(
        &mut self,
        levels: usize,
        write: impl FnOnce(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if self.depth + levels > MAX_DEPTH {
            return Err(Broken::new("nested too deeply"));
        }
        self.depth += levels;
        write(self)?;
        self.depth -= levels;
        Ok(())
    }

    /// Adds the fields of a message to `spans`, in the order of their numbers. Returns where they begin.
    pub(super) fn collect(&mut self, of: &Type, data: &[u8]) -> Result<usize, Broken> {
        let base = self.spans.len();
        let mut rest = data;
        let (mut hint, mut sorted, mut of_oneofs) = (0, true, 0);
        while !rest.is_empty() {
            let (number, wire) = wire::tag(&mut rest)?;
            let after_tag = data.len() - rest.len();
            let value = wire::value(&mut rest, number, wire)?;
            let Some(field) = of.numbered(number, hint) else { continue };
            if !of.fields[field].reads(wire) {
                continue;
            }
            self.spans.push(Span::of(field, wire, value, after_tag, data.len() - rest.len()));
            sorted &= field >= hint;
            hint = field;
            of_oneofs += usize::from(of.fields[field].oneof.is_some());
        }
        if of_oneofs > 1 {
            self.keep_last_of_oneofs(of, base);
        }
        if !sorted {
            self.spans[base..].sort_by_key(|span| span.field);
        }
        Ok(base)
    }

    /// Of a oneof, the last member counts, and what came of it before another member does not.
    fn keep_last_of_oneofs(&mut self, of: &Type, base: usize) {
        let mut last = vec![None; of.oneofs];
        for span in self.spans[base..].iter_mut().rev() {
            let Some(oneof) = of.fields[span.field].oneof else { continue };
            match last[oneof] {
                None => last[oneof] = Some(span.field),
                Some(field) if field == span.field => {}
                Some(_) => {
                    last[oneof] = Some(REPLACED);
                    span.field = REPLACED;
                }
            }
        }
        let mut at = 0;
        self.spans.retain(|span| {
            at += 1;
            at <= base || span.field != REPLACED
        });
    }
}
