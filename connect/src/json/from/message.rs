use rustc_hash::FxHashSet;

use super::reader::Reader;
use super::scalar::Wrote;
use crate::json::fault::{Fault, shown};
use crate::json::scan::Token;
use crate::json::schema::{Field, Kind, Shape, Special, Type};
use crate::json::wire::{GROUP, GROUP_END, LEN, Writer};

impl<'a> Reader<'a> {
    /// A message's fields, without tag and length.
    pub(super) fn message(&mut self, of: &'a Type) -> Result<(), Fault> {
        match of.special {
            Special::None | Special::Empty => self.object(of, false),
            Special::Any => self.any(),
            Special::Timestamp => self.timestamp(),
            Special::Duration => self.duration(),
            Special::FieldMask => self.field_mask(),
            Special::Struct => self.structure(),
            Special::List => self.list_value(),
            Special::Value => self.value(),
            Special::Wrapper => {
                let token = self.scan.peek()?;
                self.single(&of.fields[0], token)
            }
        }
    }

    /// An object of the message's fields; in an `Any` with a member `@type`, whose value is known.
    pub(super) fn object(&mut self, of: &'a Type, in_any: bool) -> Result<(), Fault> {
        let token = self.scan.peek()?;
        if token != Token::Object {
            return Err(self.expected("an object", token));
        }
        self.scan.open_object()?;
        let (mut first, mut typed, mut next) = (true, in_any.then_some(false), 0);
        let mut seen = Seen::default();
        while let Some(index) = self.name(of, next, &mut first, &mut typed)? {
            next = index + 1;
            let field = &of.fields[index];
            if !seen.insert(index) {
                return Err(self.scan.fault(format!("duplicate field `{}`", field.json_name)));
            }
            let token = self.scan.peek()?;
            if token == Token::Null && !(field.kind.takes_null() && field.shape == Shape::Single) {
                self.scan.word(Token::Null)?;
                continue;
            }
            if field.oneof.is_some_and(|oneof| !seen.insert(of.fields.len() + oneof)) {
                return Err(self
                    .scan
                    .fault(format!("`{}` excludes another field of its oneof", field.json_name)));
            }
            self.field(field, token).map_err(|fault| fault.within(&field.json_name))?;
        }
        Ok(())
    }

    /// The field whose name comes next, which is probably `next`; `None` at the end of the object. Members that are no
    /// fields are skipped. `typed` is whether the `@type` of an `Any` was read.
    fn name(
        &mut self,
        of: &Type,
        next: usize,
        first: &mut bool,
        typed: &mut Option<bool>,
    ) -> Result<Option<usize>, Fault> {
        if typed.is_none() {
            for index in next..of.fields.len().min(next + 2) {
                if self.scan.take_key(&of.fields[index].json_key, first) {
                    return Ok(Some(index));
                }
            }
        }
        while let Some(name) = self.scan.key(first)? {
            if let Some(typed) = typed
                && name == "@type"
            {
                if std::mem::replace(typed, true) {
                    return Err(self.scan.fault("duplicate `@type`"));
                }
            } else if let Some(index) = of.named(&name, next) {
                return Ok(Some(index));
            } else if self.refuse_unknown {
                return Err(self.scan.fault(format!("unknown field {}", shown(&name))));
            }
            self.scan.skip()?;
        }
        Ok(None)
    }

    /// The value of a field, which begins with this token.
    fn field(&mut self, field: &'a Field, token: Token) -> Result<(), Fault> {
        match &field.shape {
            Shape::Single => self.single(field, token),
            Shape::List => self.list(field, token),
            Shape::Map(key) => self.map(field, key, token),
        }
    }

    /// A field with its tag, of one value.
    pub(super) fn single(&mut self, field: &'a Field, token: Token) -> Result<(), Fault> {
        let start = self.out.len();
        match self.tagged(field, token)? {
            Wrote::Default if !field.presence => self.out.truncate(start),
            Wrote::Nothing => self.out.truncate(start),
            _ => {}
        }
        Ok(())
    }

    fn tagged(&mut self, field: &'a Field, token: Token) -> Result<Wrote, Fault> {
        if field.group {
            self.out.tag(field.number, GROUP);
            let wrote = self.one(&field.kind, true, token)?;
            self.out.tag(field.number, GROUP_END);
            return Ok(wrote);
        }
        self.out.tag(field.number, field.kind.wire());
        self.one(&field.kind, false, token)
    }

    /// One value, without its tag.
    fn one(&mut self, kind: &'a Kind, group: bool, token: Token) -> Result<Wrote, Fault> {
        let &Kind::Message(index, _) = kind else { return self.scalar(kind, token) };
        let of = self.schema.at(index);
        if group {
            self.deeper(1, |reader| reader.message(of))?;
        } else {
            let open = self.out.open();
            self.deeper(1, |reader| reader.message(of))?;
            self.out.close(&open);
        }
        Ok(Wrote::Value)
    }

    fn list(&mut self, field: &'a Field, token: Token) -> Result<(), Fault> {
        if token != Token::Array {
            return Err(self.expected("an array", token));
        }
        self.scan.open_array()?;
        let start = self.out.len();
        let open = field.packed.then(|| {
            self.out.tag(field.number, LEN);
            self.out.open()
        });
        let empty = self.out.len();
        let mut first = true;
        while self.scan.element(&mut first)? {
            let start = self.out.len();
            let token = self.not_null(&field.kind)?;
            let wrote = if field.packed {
                self.one(&field.kind, false, token)?
            } else {
                self.tagged(field, token)?
            };
            if wrote == Wrote::Nothing {
                self.out.truncate(start);
            }
        }
        match open {
            Some(_) if self.out.len() == empty => self.out.truncate(start),
            Some(open) => self.out.close(&open),
            None => {}
        }
        Ok(())
    }

    fn map(&mut self, field: &'a Field, key_kind: &Kind, token: Token) -> Result<(), Fault> {
        if token != Token::Object {
            return Err(self.expected("an object", token));
        }
        self.scan.open_object()?;
        let mut keys = Keys::default();
        let mut first = true;
        while let Some(key) = self.scan.key(&mut first)? {
            let start = self.out.len();
            self.out.tag(field.number, LEN);
            let entry = self.out.open();
            self.out.tag(1, key_kind.wire());
            let at = self.out.len();
            self.map_key(key_kind, &key)?;
            keys.add(at, &self.out);
            self.out.tag(2, field.kind.wire());
            let token = self.not_null(&field.kind)?;
            let mut wrote = Wrote::Nothing;
            self.deeper(1, |reader| {
                wrote = reader.one(&field.kind, false, token)?;
                Ok(())
            })?;
            if wrote == Wrote::Nothing {
                keys.take_back();
                self.out.truncate(start);
            } else {
                self.out.close(&entry);
            }
        }
        self.distinct(keys)
    }

    /// What comes next in a list or a map, where `null` is not an absent value.
    fn not_null(&mut self, kind: &Kind) -> Result<Token, Fault> {
        match self.scan.peek()? {
            Token::Null if !kind.takes_null() => Err(self.scan.fault("null in a list or map")),
            token => Ok(token),
        }
    }

    pub(super) fn distinct(&self, keys: Keys) -> Result<(), Fault> {
        if keys.are_distinct(&self.out) {
            Ok(())
        } else {
            Err(self.scan.fault("duplicate key in a map"))
        }
    }
}

/// The fields and oneofs that an object had so far. It holds memory for what the text names only: a type can have
/// thousands of fields, and a list thousands of empty objects.
#[derive(Default)]
struct Seen {
    low: u64,
    high: FxHashSet<usize>,
}

impl Seen {
    fn insert(&mut self, index: usize) -> bool {
        if index >= 64 {
            return self.high.insert(index);
        }
        let new = self.low & 1 << index == 0;
        self.low |= 1 << index;
        new
    }
}

/// Where the keys of a map are in the output.
#[derive(Default)]
pub(super) struct Keys(Vec<(usize, usize)>);

impl Keys {
    /// The key that was written from `at` on.
    pub(super) fn add(&mut self, at: usize, out: &Writer<'_>) {
        self.0.push((at, out.len()));
    }

    fn take_back(&mut self) {
        self.0.pop();
    }

    fn are_distinct(mut self, out: &Writer<'_>) -> bool {
        let key = |&(start, end): &(usize, usize)| out.between(start, end);
        self.0.sort_unstable_by(|first, second| key(first).cmp(key(second)));
        self.0.windows(2).all(|pair| key(&pair[0]) != key(&pair[1]))
    }
}
