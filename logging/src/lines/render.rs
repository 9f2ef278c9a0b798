//! Renders a line as JSON, as the formatter of `json` renders its event.

use std::time::Duration;

use tonic_call::time_of_day;

use crate::json::buffer::LineBuffer;
use crate::json::object::{Object, Quoted, QuotedKey};
use crate::json::time;
use crate::key::Key;
use crate::lines::common::rendered;
use crate::member::{Common, Line, MemberValue, Members, micros_of};
use crate::site::{Site, TARGET};

/// Appends a line with its line feed.
pub(super) fn line(text: &mut LineBuffer, site: &Site, line: &impl Line) {
    text.push_str("{\"timestamp\":\"");
    time::timestamp(text, time_of_day());
    text.push(b'"');
    let mut object = Object::behind(text);
    object.plain(Quoted(",\"level\":\""), site.level().as_str());
    let mut members = JsonMembers { object, keys: site.quoted_keys() };
    line.list(&mut members);
    let mut object = members.object;
    object.plain(Quoted(",\"target\":\""), TARGET);
    object.close();
    text.push(b'\n');
}

struct JsonMembers<'l, 'k> {
    object: Object<'l>,
    keys: &'k [QuotedKey],
}

impl<'v> Members<'v> for JsonMembers<'_, '_> {
    fn common(&mut self, common: Common) {
        match rendered(common) {
            Some(members) => self.object.members(members),
            None => common.members().iter().for_each(|(key, text)| self.plain(*key, text)),
        }
    }

    // Without a `MemberValue` in between, which takes longer than the value itself.
    fn plain(&mut self, key: Key, text: &'v str) {
        self.object.plain(&self.keys[key as usize], text);
    }

    fn ascii(&mut self, key: Key, text: &'v [u8]) {
        self.object.ascii(&self.keys[key as usize], text);
    }

    fn text(&mut self, key: Key, text: Option<&'v str>) {
        if let Some(text) = text {
            self.object.string(&self.keys[key as usize], text);
        }
    }

    fn number(&mut self, key: Key, number: Option<u64>) {
        if let Some(number) = number {
            self.object.unsigned(&self.keys[key as usize], number);
        }
    }

    fn millis(&mut self, key: Key, time: Duration) {
        self.object.thousandths(&self.keys[key as usize], micros_of(time));
    }

    fn add(&mut self, index: usize, value: MemberValue<'v>) {
        let key = &self.keys[index];
        let object = &mut self.object;
        match value {
            MemberValue::Text(text) => object.string(key, text),
            MemberValue::Plain(text) => object.plain(key, text),
            MemberValue::Ascii(text) => object.ascii(key, text),
            MemberValue::Unsigned(number) => object.unsigned(key, number),
            MemberValue::Signed(number) => object.signed(key, number),
            MemberValue::Float(number) => object.float(key, number),
            MemberValue::Bool(value) => object.boolean(key, value),
            MemberValue::Millis(micros) => object.thousandths(key, micros),
        }
    }
}
