use std::ops::Range;

use super::broken::Broken;
use super::scalar::word;
use super::writer::JsonWriter;
use crate::json::plain::is_plain_ascii;
use crate::json::schema::{Field, Kind, Shape};
use crate::json::wire::{self, LEN};

/// The key of a map. Equal keys are equal here, however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'d> {
    Text(&'d str),
    Number(i128),
}

impl<'a> JsonWriter<'a> {
    /// An array or a map, of no elements too.
    pub(super) fn repeated(
        &mut self,
        field: &'a Field,
        data: &[u8],
        spans: Range<usize>,
    ) -> Result<(), Broken> {
        match &field.shape {
            Shape::Map(key) => self.map(field, key, data, spans),
            _ => self.list(field, data, spans),
        }
    }

    fn list(&mut self, field: &'a Field, data: &[u8], spans: Range<usize>) -> Result<(), Broken> {
        self.out.push(b'[');
        let empty = self.out.len();
        let own = field.kind.wire();
        for at in spans {
            let span = self.spans[at];
            let mut value = &data[span.start..span.end];
            if !span.sized || own == LEN {
                self.element(&field.kind, value, empty)?;
                continue;
            }
            while !value.is_empty() {
                let element = wire::value(&mut value, field.number, own)?;
                self.element(&field.kind, element, empty)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn element(&mut self, kind: &'a Kind, value: &[u8], empty: usize) -> Result<(), Broken> {
        if self.out.len() > empty {
            self.out.push(b',');
        }
        self.one(kind, value)
    }

    /// One value of a list or a map, or of a `google.protobuf.Value`.
    pub(super) fn one(&mut self, kind: &'a Kind, value: &[u8]) -> Result<(), Broken> {
        match *kind {
            Kind::Message(index, _) => {
                let of = self.schema.at(index);
                self.deeper(1, |writer| writer.message(of, value))
            }
            _ => self.scalar(kind, value),
        }
    }

    fn map(
        &mut self,
        field: &'a Field,
        key_kind: &Kind,
        data: &[u8],
        spans: Range<usize>,
    ) -> Result<(), Broken> {
        let mut entries = Vec::with_capacity(spans.len());
        for span in &self.spans[spans] {
            entries.push(entry(key_kind, &field.kind, &data[span.start..span.end])?);
        }
        keep_last(&mut entries);
        self.out.push(b'{');
        let empty = self.out.len();
        for (key, value) in entries {
            if self.out.len() > empty {
                self.out.push(b',');
            }
            match key {
                Key::Text(text) if is_plain_ascii(text.as_bytes()) => self.quoted(text),
                Key::Text(text) => self.string(text),
                Key::Number(number) if *key_kind == Kind::Bool => self.quoted(word(number != 0)),
                Key::Number(number) => self.quoted_number(number),
            }
            self.out.push(b':');
            match value {
                Some(value) => self.deeper(1, |writer| writer.one(&field.kind, value))?,
                None => match field.kind {
                    Kind::Message(..) => self.deeper(1, |writer| writer.one(&field.kind, &[]))?,
                    _ => self.default(&field.kind),
                },
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Key and value of an entry; a value that is absent has its default.
fn entry<'d>(
    key_kind: &Kind,
    value_kind: &Kind,
    data: &'d [u8],
) -> Result<(Key<'d>, Option<&'d [u8]>), Broken> {
    let mut key = if *key_kind == Kind::String { Key::Text("") } else { Key::Number(0) };
    let mut value = None;
    for field in wire::fields(data) {
        match field? {
            (1, wire, data) if wire == key_kind.wire() => {
                key = match key_kind {
                    Kind::String => Key::Text(
                        std::str::from_utf8(data)
                            .map_err(|_| Broken::new("a string is not UTF-8"))?,
                    ),
                    _ => Key::Number(JsonWriter::integer(key_kind, data)?),
                }
            }
            (2, wire, data) if wire == value_kind.wire() => value = Some(data),
            _ => {}
        }
    }
    Ok((key, value))
}

/// So many entries are compared with each other rather than sorted.
const FEW: usize = 8;

/// Of entries with the same key, the last counts.
fn keep_last<V>(entries: &mut Vec<(Key<'_>, V)>) {
    let is_new = |at: usize| entries[..at].iter().all(|(key, _)| *key != entries[at].0);
    if entries.len() <= FEW && (1..entries.len()).all(is_new) {
        return;
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&at| entries[at].0);
    let replaced = order
        .windows(2)
        .filter(|pair| entries[pair[0]].0 == entries[pair[1]].0)
        .map(|pair| pair[0]);
    let mut replaced: Vec<usize> = replaced.collect();
    if replaced.is_empty() {
        return;
    }
    replaced.sort_unstable();
    let (mut at, mut next) = (0, replaced.into_iter().peekable());
    entries.retain(|_| {
        at += 1;
        next.next_if_eq(&(at - 1)).is_none()
    });
}
