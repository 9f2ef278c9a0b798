use std::borrow::Cow;

use super::reader::Reader;
use crate::json::fault::{Fault, shown};
use crate::json::scan::Token;
use crate::json::schema::{Special, Type};
use crate::json::wire::LEN;

impl<'a> Reader<'a> {
    /// A `google.protobuf.Any`: an object with `@type`, and beside it the fields of the message, or for a type whose
    /// JSON is special, its JSON as `value`.
    pub(super) fn any(&mut self) -> Result<(), Fault> {
        let token = self.scan.peek()?;
        if token != Token::Object {
            return Err(self.expected("an object", token));
        }
        let Some(url) = self.find_type()? else { return Ok(()) };
        let Some(of) = url.rsplit('/').next().and_then(|name| self.schema.by_name(name)) else {
            return Err(self
                .scan
                .fault(format!("unknown message type {} in `@type`", shown(&url))));
        };
        self.out.tag(1, LEN);
        self.out.bytes(url.as_bytes());
        let start = self.out.len();
        self.out.tag(2, LEN);
        let open = self.out.open();
        let empty = self.out.len();
        // Some implementations write an empty message as a `value`, others without it.
        let has_value = of.is_special() || of.special == Special::Empty;
        self.deeper(
            1,
            |reader| {
                if has_value { reader.any_value(of) } else { reader.object(of, true) }
            },
        )?;
        if self.out.len() == empty {
            self.out.truncate(start);
        } else {
            self.out.close(&open);
        }
        Ok(())
    }

    /// Looks ahead for the `@type` of the object that begins here. `None`, and the object is read, if it is empty.
    fn find_type(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        let start = self.scan.clone();
        self.scan.open_object()?;
        let mut first = true;
        while let Some(key) = self.scan.key(&mut first)? {
            if key == "@type" {
                let url = self.text("a type URL")?;
                let len = self.scan.at() - start.at();
                self.scan = start;
                self.read_again(len)?;
                return Ok(Some(url));
            }
            self.scan.skip()?;
        }
        if first { Ok(None) } else { Err(self.scan.fault("`Any` without `@type`")) }
    }

    /// The object of an `Any` whose message is the member `value`.
    fn any_value(&mut self, of: &'a Type) -> Result<(), Fault> {
        self.scan.open_object()?;
        let (mut first, mut typed, mut valued) = (true, false, false);
        while let Some(key) = self.scan.key(&mut first)? {
            let duplicate = match &*key {
                "@type" => std::mem::replace(&mut typed, true),
                "value" => std::mem::replace(&mut valued, true),
                _ => false,
            };
            match &*key {
                _ if duplicate => return Err(self.scan.fault(format!("duplicate `{key}`"))),
                "value" => self.message(of).map_err(|fault| fault.within("value"))?,
                "@type" => self.scan.skip()?,
                _ if self.refuse_unknown => {
                    return Err(self.scan.fault(format!("unknown field {}", shown(&key))));
                }
                _ => self.scan.skip()?,
            }
        }
        if valued || of.special == Special::Empty {
            Ok(())
        } else {
            Err(self.scan.fault(format!("`Any` with {} without `value`", of.name)))
        }
    }
}
