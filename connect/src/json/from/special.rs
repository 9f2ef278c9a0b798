use super::message::Keys;
use super::reader::Reader;
use crate::json::fault::{Fault, shown};
use crate::json::scan::Token;
use crate::json::wire::{FIXED64, LEN, VARINT};
use crate::json::{mask, time};

impl Reader<'_> {
    pub(super) fn timestamp(&mut self) -> Result<(), Fault> {
        let text = self.text("a timestamp as RFC 3339 defines it")?;
        match time::parse_timestamp(&text) {
            Some((seconds, nanos)) => self.seconds_and_nanos(seconds, nanos),
            None => {
                return Err(self
                    .scan
                    .fault(format!("{} is not a timestamp as RFC 3339 defines it", shown(&text))));
            }
        }
        Ok(())
    }

    pub(super) fn duration(&mut self) -> Result<(), Fault> {
        let text = self.text("a duration in seconds like \"1.5s\"")?;
        match time::parse_duration(&text) {
            Some((seconds, nanos)) => self.seconds_and_nanos(seconds, nanos),
            None => {
                return Err(self.scan.fault(format!(
                    "{} is not a duration in seconds like \"1.5s\"",
                    shown(&text)
                )));
            }
        }
        Ok(())
    }

    fn seconds_and_nanos(&mut self, seconds: i64, nanos: i32) {
        for (number, value) in [(1, seconds), (2, nanos.into())] {
            if value != 0 {
                self.out.tag(number, VARINT);
                self.out.varint(value as u64);
            }
        }
    }

    pub(super) fn field_mask(&mut self) -> Result<(), Fault> {
        let text = self.text("a field mask like \"id,createdAt\"")?;
        if text.is_empty() {
            return Ok(());
        }
        for path in text.split(',') {
            let Some(snake) = mask::to_snake_case(path) else {
                return Err(self
                    .scan
                    .fault(format!("{} is not a path of a field mask", shown(path))));
            };
            self.out.tag(1, LEN);
            self.out.bytes(snake.as_bytes());
        }
        Ok(())
    }

    /// A `google.protobuf.Value`: any JSON.
    pub(super) fn value(&mut self) -> Result<(), Fault> {
        match self.scan.peek()? {
            Token::Null => {
                self.out.tag(1, VARINT);
                self.out.varint(0);
                self.scan.word(Token::Null)?;
            }
            Token::Number => {
                self.out.tag(2, FIXED64);
                self.double()?;
            }
            Token::String => {
                let text = self.scan.string()?;
                self.out.tag(3, LEN);
                self.out.bytes(text.as_bytes());
            }
            token @ (Token::True | Token::False) => {
                self.scan.word(token)?;
                self.out.tag(4, VARINT);
                self.out.varint((token == Token::True).into());
            }
            Token::Object => {
                self.out.tag(5, LEN);
                let open = self.out.open();
                self.deeper(1, Self::structure)?;
                self.out.close(&open);
            }
            Token::Array => {
                self.out.tag(6, LEN);
                let open = self.out.open();
                self.deeper(1, Self::list_value)?;
                self.out.close(&open);
            }
        }
        Ok(())
    }

    /// A `google.protobuf.Struct`: an object of any JSON.
    pub(super) fn structure(&mut self) -> Result<(), Fault> {
        let token = self.scan.peek()?;
        if token != Token::Object {
            return Err(self.expected("an object", token));
        }
        self.scan.open_object()?;
        let mut keys = Keys::default();
        let mut first = true;
        while let Some(key) = self.scan.key(&mut first)? {
            self.out.tag(1, LEN);
            let entry = self.out.open();
            self.out.tag(1, LEN);
            let at = self.out.len();
            self.out.bytes(key.as_bytes());
            keys.add(at, &self.out);
            self.out.tag(2, LEN);
            let value = self.out.open();
            // The entry is a message, and the value another.
            self.deeper(2, Self::value)?;
            self.out.close(&value);
            self.out.close(&entry);
        }
        self.distinct(keys)
    }

    /// A `google.protobuf.ListValue`: an array of any JSON.
    pub(super) fn list_value(&mut self) -> Result<(), Fault> {
        let token = self.scan.peek()?;
        if token != Token::Array {
            return Err(self.expected("an array", token));
        }
        self.scan.open_array()?;
        let mut first = true;
        while self.scan.element(&mut first)? {
            self.out.tag(1, LEN);
            let open = self.out.open();
            self.deeper(1, Self::value)?;
            self.out.close(&open);
        }
        Ok(())
    }
}
