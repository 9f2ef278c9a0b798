//! The members of a span's object.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use tracing_core::field::{Field, Visit};

use super::buffer::LineBuffer;
use super::object::Key as _;
use super::{number, text};

/// Collects the fields of a span.
pub(super) struct Members<'l, 'n> {
    /// All members, as `"name":value`, with anything between them.
    line: &'l mut LineBuffer,
    members: Vec<Member<'n>>,
}

struct Member<'n> {
    name: Cow<'n, str>,
    /// Where it is in the line.
    place: Range<usize>,
}

impl<'l, 'n> Members<'l, 'n> {
    pub(super) fn new(line: &'l mut LineBuffer) -> Self {
        Self { line, members: Vec::new() }
    }

    /// Takes the members of an object that [`object`](Self::object) has written.
    pub(super) fn parse(line: &'l mut LineBuffer, object: &'n str) -> Option<Self> {
        let mut members = Vec::new();
        let mut start = 1;
        while object.as_bytes().get(start) == Some(&b'"') {
            let name_end = end_of_string(object, start)?;
            let end = end_of_value(object, name_end + 1)?;
            let name = match &object[start + 1..name_end - 1] {
                name if name.contains('\\') => {
                    serde_json::from_str(&object[start..name_end]).ok()?
                }
                name => Cow::Borrowed(name),
            };
            members.push(Member { name, place: start..end });
            start = end + 1;
        }
        line.push_str(object);
        Some(Self { line, members })
    }

    /// The members as an object: sorted by name, and of each name the last one.
    pub(super) fn object(mut self) -> &'l str {
        self.members.sort_by(|a, b| a.name.cmp(&b.name));
        let start = self.line.len();
        self.line.push(b'{');
        let mut members = self.members.iter().peekable();
        while let Some(Member { name, place }) = members.next() {
            let is_last = members.peek().is_none_or(|next| next.name != *name);
            if is_last {
                self.line.push_again(place.clone());
                self.line.push(b',');
            }
        }
        self.line.pop_if(b',');
        self.line.push(b'}');
        self.line.text_from(start)
    }

    fn add(&mut self, name: &'static str, write: impl FnOnce(&mut LineBuffer)) {
        let start = self.line.len();
        name.append(self.line, false, false);
        write(self.line);
        let place = start..self.line.len();
        self.members.push(Member { name: Cow::Borrowed(name), place });
    }
}

impl Visit for Members<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), |line| text::string(line, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), |line| number::unsigned(line, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), |line| number::signed(line, value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), |line| number::float(line, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), |line| number::boolean(line, value));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.add(field.name(), |line| number::bytes(line, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Metadata of a `log` record is no field, and `r#type` is the field `type`.
        if !name.starts_with("log.") {
            let name = name.strip_prefix("r#").unwrap_or(name);
            self.add(name, |line| text::debug(line, value));
        }
    }
}

/// The end of a string whose opening quote is at `start`.
fn end_of_string(object: &str, start: usize) -> Option<usize> {
    let mut index = start + 1;
    loop {
        match object.as_bytes().get(index)? {
            b'"' => return Some(index + 1),
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
}

/// The end of a value: a string, an array of numbers, or a word without a comma.
fn end_of_value(object: &str, start: usize) -> Option<usize> {
    let value = object.get(start..)?;
    match value.as_bytes().first()? {
        b'"' => end_of_string(object, start),
        b'[' => value.find(']').map(|end| start + end + 1),
        _ => value.find([',', '}']).map(|end| start + end),
    }
}
