//! The members of a line: its keys and values, in their order.

use std::time::Duration;

use tonic_call::{MethodKind, Protocol, Side};

use crate::facts::component;
use crate::key::Key;

/// A line that can list its members. The event of a line and the layer's own line are written from the same list.
pub(crate) trait Line {
    /// Adds all members, in the order of their keys' indexes.
    fn list<'v>(&'v self, members: &mut impl Members<'v>);
}

/// What the members of a line are added to.
pub(crate) trait Members<'v> {
    /// Adds the member whose key has this index: that of a [`Key`], or of an extra key after those.
    fn add(&mut self, index: usize, value: MemberValue<'v>);

    /// Adds text that JSON writes as it is: ASCII without control characters, quotation marks and backslashes.
    fn plain(&mut self, key: Key, text: &'v str) {
        self.add(key as usize, MemberValue::Plain(text));
    }

    /// Adds what many calls have in common.
    fn common(&mut self, common: Common) {
        for (key, text) in common.members() {
            self.plain(key, text);
        }
    }

    /// Adds text that JSON writes as it is, like [`plain`](Self::plain), from ASCII characters.
    fn ascii(&mut self, key: Key, text: &'v [u8]) {
        self.add(key as usize, MemberValue::Ascii(text));
    }

    /// Adds a time in milliseconds. What is less than a microsecond is cut off.
    fn millis(&mut self, key: Key, time: Duration) {
        self.add(key as usize, MemberValue::Millis(micros_of(time)));
    }

    /// Adds text, unless there is none.
    fn text(&mut self, key: Key, text: Option<&'v str>) {
        if let Some(text) = text {
            self.add(key as usize, MemberValue::Text(text));
        }
    }

    /// Adds a number, unless there is none.
    fn number(&mut self, key: Key, number: Option<u64>) {
        if let Some(number) = number {
            self.add(key as usize, MemberValue::Unsigned(number));
        }
    }
}

/// What many calls have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    pub(crate) side: Side,
    pub(crate) protocol: Protocol,
    pub(crate) kind: Option<MethodKind>,
}

impl Common {
    /// The members, in the order of their keys.
    pub(crate) fn members(self) -> [(Key, &'static str); 3] {
        [
            (Key::Component, component(self.side)),
            (Key::Protocol, self.protocol.as_str()),
            (Key::MethodType, self.kind.map_or("unknown", MethodKind::as_str)),
        ]
    }
}

/// The value of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MemberValue<'v> {
    Text(&'v str),
    /// Text that JSON writes as it is: see [`Members::plain`].
    Plain(&'v str),
    /// The same, as bytes: identifiers in hexadecimal.
    Ascii(&'v [u8]),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    /// A time in milliseconds with up to three decimals, from whole microseconds.
    Millis(u64),
}

pub(crate) fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A number of microseconds, in milliseconds.
pub(crate) fn millis_of(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}
