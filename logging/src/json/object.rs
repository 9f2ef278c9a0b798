//! Appends a JSON object to a line, member by member.

use super::buffer::{CHUNK, LineBuffer};
use super::{number, text};

/// An object that is being written. The members stay in their order, and a key may come twice.
pub(crate) struct Object<'l> {
    line: &'l mut LineBuffer,
    is_empty: bool,
}

/// The name of a member: a `&str`, or one that costs less each time.
pub(crate) trait Key {
    /// Appends the name in quotes and a colon, between a comma and the quote of a string if those are asked for.
    fn append(self, line: &mut LineBuffer, comma: bool, quote: bool);
}

/// A key as it stands in the line: escaped, in quotes, between a comma and a colon with another quote: `,"key":"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'k>(pub(crate) &'k str);

/// A key that is escaped once.
#[derive(Clone, Debug)]
pub(crate) struct QuotedKey {
    text: Box<str>,
    /// The text with anything after it, if that is not longer than this.
    chunk: Option<[u8; CHUNK]>,
}

impl QuotedKey {
    pub(crate) fn new(name: &str) -> Self {
        let mut quoted = LineBuffer::default();
        name.append(&mut quoted, true, true);
        let mut chunk = [0; CHUNK];
        let fits = quoted.len() <= CHUNK;
        if fits {
            chunk[..quoted.len()].copy_from_slice(quoted.as_bytes());
        }
        Self { text: quoted.text_from(0).into(), chunk: fits.then_some(chunk) }
    }

    /// The first key of an object, or a long one.
    #[cold]
    fn append_text(&self, line: &mut LineBuffer, comma: bool, quote: bool) {
        Quoted(&self.text).append(line, comma, quote);
    }
}

impl Key for Quoted<'_> {
    fn append(self, line: &mut LineBuffer, comma: bool, quote: bool) {
        let end = self.0.len() - usize::from(!quote);
        line.push_str(&self.0[usize::from(!comma)..end]);
    }
}

impl Key for &QuotedKey {
    #[inline]
    fn append(self, line: &mut LineBuffer, comma: bool, quote: bool) {
        match &self.chunk {
            Some(chunk) if comma => line.push_start(chunk, self.text.len() - usize::from(!quote)),
            _ => self.append_text(line, comma, quote),
        }
    }
}

impl Key for &str {
    fn append(self, line: &mut LineBuffer, comma: bool, quote: bool) {
        line.push_str(if comma { ",\"" } else { "\"" });
        text::escaped(line, self);
        line.push_str(if quote { "\":\"" } else { "\":" });
    }
}

impl<'l> Object<'l> {
    /// Appends `{`.
    pub(crate) fn open(line: &'l mut LineBuffer) -> Self {
        line.push(b'{');
        Self { line, is_empty: true }
    }

    /// Continues an object whose first member has been appended.
    pub(crate) fn behind(line: &'l mut LineBuffer) -> Self {
        Self { line, is_empty: false }
    }

    /// Appends `}`.
    pub(crate) fn close(self) {
        self.line.push(b'}');
    }

    /// Appends a key. Exactly one JSON value must be appended to what this returns.
    pub(crate) fn value(&mut self, key: impl Key) -> &mut LineBuffer {
        self.key(key, false)
    }

    fn key(&mut self, key: impl Key, quote: bool) -> &mut LineBuffer {
        let comma = !std::mem::replace(&mut self.is_empty, false);
        key.append(self.line, comma, quote);
        self.line
    }

    /// Appends members that are rendered already, as in the inside of an object. They may be empty.
    pub(crate) fn members(&mut self, members: &str) {
        if !members.is_empty() {
            if !self.is_empty {
                self.line.push(b',');
            }
            self.is_empty = false;
            self.line.push_str(members);
        }
    }

    pub(crate) fn string(&mut self, key: impl Key, value: &str) {
        let line = self.key(key, true);
        text::escaped(line, value);
        line.push(b'"');
    }

    /// A string of which no byte needs an escape: an identifier in hexadecimal, an address, a name of this crate.
    pub(crate) fn plain(&mut self, key: impl Key, value: &str) {
        debug_assert!(text::is_plain(value.as_bytes()), "needs an escape: {value}");
        let line = self.key(key, true);
        line.push_str(value);
        line.push(b'"');
    }

    /// Like [`plain`](Self::plain), from ASCII characters.
    pub(crate) fn ascii(&mut self, key: impl Key, value: &[u8]) {
        debug_assert!(text::is_plain(value), "needs an escape: {value:?}");
        let line = self.key(key, true);
        line.push_ascii(value);
        line.push(b'"');
    }

    pub(crate) fn unsigned(&mut self, key: impl Key, value: u64) {
        number::unsigned(self.value(key), value);
    }

    pub(crate) fn signed(&mut self, key: impl Key, value: i64) {
        number::signed(self.value(key), value);
    }

    pub(crate) fn boolean(&mut self, key: impl Key, value: bool) {
        number::boolean(self.value(key), value);
    }

    /// See [`number::float`].
    pub(crate) fn float(&mut self, key: impl Key, value: f64) {
        number::float(self.value(key), value);
    }

    /// See [`number::thousandths`].
    pub(crate) fn thousandths(&mut self, key: impl Key, value: u64) {
        number::thousandths(self.value(key), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_duplicates() {
        let mut line = LineBuffer::default();
        line.push_str("before ");
        let mut object = Object::open(&mut line);
        object.unsigned("a", 1);
        object.string(&QuotedKey::new("b\"\n"), "\\");
        object.members("");
        object.members("\"c\":null");
        Object::open(object.value("a")).close();
        object.close();
        assert_eq!(line.text_from(0), r#"before {"a":1,"b\"\n":"\\","c":null,"a":{}}"#);
    }

    #[test]
    fn an_object_may_start_with_rendered_members() {
        let mut line = LineBuffer::default();
        let mut object = Object::open(&mut line);
        object.members("\"a\":1,\"b\":2");
        object.thousandths("c", 1_500);
        object.close();
        assert_eq!(line.text_from(0), r#"{"a":1,"b":2,"c":1.5}"#);
    }

    #[test]
    fn keys_of_any_length_are_written_alike() {
        for len in 0..2 * CHUNK {
            let (name, mut line) = ("k".repeat(len), LineBuffer::default());
            let (key, mut object) = (QuotedKey::new(&name), Object::open(&mut line));
            object.unsigned(&key, 1);
            object.string(&key, "é");
            object.unsigned(&key, 2);
            object.close();
            assert_eq!(line.text_from(0), format!(r#"{{"{name}":1,"{name}":"é","{name}":2}}"#));
        }
    }
}
