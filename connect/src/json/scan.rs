//! Reads JSON text, token by token.

use std::borrow::Cow;

use super::fault::Fault;
use super::plain::plain_len;
use super::wire::Writer;

/// How deep arrays and objects may be nested in a value without a field: twice the limit for messages, since a field can
/// be an array of objects.
const MAX_DEPTH: usize = 200;

/// What a JSON value begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Token {
    /// The name in an error message.
    pub(super) fn name(self) -> &'static str {
        match self {
            Token::Object => "an object",
            Token::Array => "an array",
            Token::String => "a string",
            Token::Number => "a number",
            Token::True | Token::False => "a boolean",
            Token::Null => "null",
        }
    }
}

/// A position in JSON text. It reads strictly as RFC 8259 defines JSON, and never backwards.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte that is read next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn fault(&self, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(self.at, message)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn white(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        match self.white() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.fault(what)),
            None => Err(self.fault("unexpected end")),
        }
    }

    /// The kind of the next value, which is not read yet.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Token, Fault> {
        match self.white() {
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'"') => Ok(Token::String),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b't') => Ok(Token::True),
            Some(b'f') => Ok(Token::False),
            Some(b'n') => Ok(Token::Null),
            Some(_) => Err(self.fault("expected a JSON value")),
            None => Err(self.fault("unexpected end")),
        }
    }

    /// Reads `true`, `false` or `null`, whose first letter `peek` saw.
    pub(super) fn word(&mut self, token: Token) -> Result<(), Fault> {
        let word = match token {
            Token::True => "true",
            Token::False => "false",
            _ => "null",
        };
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault("expected a JSON value"));
        }
        self.at += word.len();
        match self.byte() {
            Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_' => {
                Err(self.fault("expected a JSON value"))
            }
            _ => Ok(()),
        }
    }

    /// Begins an object.
    pub(super) fn open_object(&mut self) -> Result<(), Fault> {
        self.expect(b'{', "expected `{`")
    }

    /// Begins an array.
    pub(super) fn open_array(&mut self) -> Result<(), Fault> {
        self.expect(b'[', "expected `[`")
    }

    /// The next key of an object and its colon, or `None` after its `}`.
    pub(super) fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Fault> {
        if self.white() == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        if !std::mem::take(first) {
            self.expect(b',', "expected `,` or `}`")?;
        }
        match self.white() {
            Some(b'"') => {}
            Some(_) => return Err(self.fault("expected a name in double quotes")),
            None => return Err(self.fault("unexpected end")),
        }
        let key = self.string()?;
        self.expect(b':', "expected `:`")?;
        Ok(Some(key))
    }

    /// Reads this key, which is in its JSON form and between comma and colon, if it comes next and without white space.
    /// Most objects are written like this, in the order of the fields, and then no name has to be looked up.
    pub(super) fn take_key(&mut self, key: &str, first: &mut bool) -> bool {
        let key = &key.as_bytes()[usize::from(*first)..];
        let is_next = self.text.as_bytes()[self.at..].starts_with(key);
        if is_next {
            self.at += key.len();
            *first = false;
        }
        is_next
    }

    /// Whether an array has one more element; its `]` is read if not.
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        if self.white() == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "expected `,` or `]`")?;
            self.peek()?;
        }
        Ok(true)
    }

    /// Reads a number, as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.text[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.as_bytes().iter().take_while(|byte| is_part(byte)).count();
        let number = &rest[..len];
        if !super::number::is_json(number)
            || rest.as_bytes().get(len).is_some_and(u8::is_ascii_alphabetic)
        {
            return Err(self.fault("malformed number"));
        }
        self.at += len;
        Ok(number)
    }

    /// Reads a string. Without an escape in it, it is not copied.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let (start, whole) = self.until_escape()?;
        if whole {
            return Ok(Cow::Borrowed(start));
        }
        let mut whole = String::from(start);
        self.rest_of_escaped(|part| whole.push_str(part))?;
        Ok(Cow::Owned(whole))
    }

    /// Reads a string, and writes it after its length. Returns whether it is empty.
    pub(super) fn string_to(&mut self, out: &mut Writer<'_>) -> Result<bool, Fault> {
        let (start, whole) = self.until_escape()?;
        if whole {
            out.bytes(start.as_bytes());
            return Ok(start.is_empty());
        }
        let open = out.open();
        out.raw(start.as_bytes());
        self.rest_of_escaped(|part| out.raw(part.as_bytes()))?;
        out.close(&open);
        Ok(false)
    }

    /// Reads a string up to its first escape. Returns whether it has none, and is read.
    fn until_escape(&mut self) -> Result<(&'a str, bool), Fault> {
        self.at += 1;
        let start = self.at;
        self.plain()?;
        let read = &self.text[start..self.at];
        let whole = self.byte() == Some(b'"');
        self.at += usize::from(whole);
        Ok((read, whole))
    }

    /// Reads the rest of a string, which begins with an escape, part by part.
    fn rest_of_escaped(&mut self, mut add: impl FnMut(&str)) -> Result<(), Fault> {
        loop {
            self.at += 1;
            add(self.escaped()?.encode_utf8(&mut [0; 4]));
            let start = self.at;
            self.plain()?;
            add(&self.text[start..self.at]);
            if self.byte() == Some(b'"') {
                self.at += 1;
                return Ok(());
            }
        }
    }

    /// Goes on to the next quote or backslash of a string.
    fn plain(&mut self) -> Result<(), Fault> {
        self.at += plain_len(&self.text.as_bytes()[self.at..]);
        match self.byte() {
            Some(b'"' | b'\\') => Ok(()),
            Some(_) => Err(self.fault("control character in a string")),
            None => Err(self.fault("unexpected end in a string")),
        }
    }

    /// The character of an escape, after its backslash.
    fn escaped(&mut self) -> Result<char, Fault> {
        let Some(byte) = self.byte() else { return Err(self.fault("unexpected end in a string")) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => byte.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => {
                self.at -= 1;
                return Err(self.fault("unknown escape in a string"));
            }
        })
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex()?;
        let code = match first {
            0xD800..0xDC00 if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                match self.hex()? {
                    second @ 0xDC00..0xE000 => {
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => first,
                }
            }
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.fault("half of a surrogate pair in a string"))
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.fault("expected four hexadecimal digits"));
        };
        self.at += 4;
        Ok(digits
            .iter()
            .fold(0, |code, &digit| code << 4 | char::from(digit).to_digit(16).unwrap_or(0)))
    }

    /// Reads a value that nobody needs. No recursion: its depth is a number.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        // For each array and object around: whether it is an object, and whether nothing of it was read yet.
        let mut around: Vec<(bool, bool)> = Vec::new();
        loop {
            match self.peek()? {
                token @ (Token::Object | Token::Array) => {
                    if around.len() == MAX_DEPTH {
                        return Err(self.fault("nested too deeply"));
                    }
                    self.at += 1;
                    around.push((token == Token::Object, true));
                }
                Token::String => drop(self.string()?),
                Token::Number => drop(self.number()?),
                token => self.word(token)?,
            }
            loop {
                let Some((object, first)) = around.last_mut() else { return Ok(()) };
                if if *object { self.key(first)?.is_some() } else { self.element(first)? } {
                    break;
                }
                around.pop();
            }
        }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.white() {
            None => Ok(()),
            Some(_) => Err(self.fault("unexpected text after the message")),
        }
    }
}
