//! The grammar of `x-forwarded-client-cert` (Envoy, "HTTP header manipulation").

use std::borrow::Cow;

use super::leaf::{Names, bad};
use crate::decide::failure::{Failure, Reason};

/// What a proxy states about the certificate of its own client: the last element of the header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// SHA-256 of the certificate.
    pub(crate) hash: Option<[u8; 32]>,
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
}

fn malformed(received: &'static str) -> Failure {
    Failure::new(Reason::CredentialsMalformed, "xfcc")
        .expected("a well-formed x-forwarded-client-cert")
        .received(received)
}

impl Element {
    /// Reads the last element. Each proxy appends one, so those before it can come from the caller.
    ///
    /// The whole header is read from the left, and must be well-formed. If the caller's part has a quote that is not
    /// closed, then the proxy's part, in which quotes are balanced, ends inside quotes, and the header is refused. So the
    /// caller can't hide or change the comma before the last element.
    pub(crate) fn last(header: &str) -> Result<Self, Failure> {
        let mut element = Self::default();
        let mut rest = header;
        loop {
            let (key, after) =
                rest.split_once('=').ok_or_else(|| malformed("no `=` after a key"))?;
            let key = key.trim_matches([' ', '\t']);
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(malformed("an invalid key"));
            }
            let (value, after) = value(after)?;
            element.add(key, value)?;
            let mut separated = after.chars();
            match separated.next() {
                None => return Ok(element),
                Some(';') => {}
                Some(',') => element = Self::default(),
                Some(_) => return Err(malformed("text after a closing quote")),
            }
            rest = separated.as_str();
        }
    }

    /// Keys are compared without regard to case. Unknown ones are skipped.
    fn add(&mut self, key: &str, value: Cow<'_, str>) -> Result<(), Failure> {
        if key.eq_ignore_ascii_case("uri") {
            // Envoy writes an empty one if the certificate has no URI SAN.
            if !value.is_empty() {
                self.uris.push(value.into_owned());
            }
        } else if key.eq_ignore_ascii_case("dns") {
            self.dns.push(value.into_owned());
        } else if key.eq_ignore_ascii_case("hash") {
            let hash = from_hex(&value).ok_or_else(|| malformed("a Hash that is no SHA-256"))?;
            if self.hash.replace(hash).is_some() {
                return Err(malformed("several Hash"));
            }
        }
        Ok(())
    }

    /// The names of the caller: one SPIFFE ID at most.
    pub(crate) fn names(&self) -> Result<Names, Failure> {
        let dns = self.dns.iter().map(String::as_str);
        match &*self.uris {
            [] => Names::of(&[], dns),
            [uri] => Names::of(&[uri], dns),
            _ => Err(bad("xfcc", "one URI").received("several")),
        }
    }
}

/// A value, and the text after it.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), Failure> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return match value.contains('"') {
            true => Err(malformed("a quote inside a value")),
            false => Ok((value.trim_end_matches([' ', '\t']).into(), rest)),
        };
    };
    let mut backslashes = 0;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            b'\\' => backslashes += 1,
            b'"' if backslashes == 0 => {
                let rest = quoted[at + 1..].trim_start_matches([' ', '\t']);
                return Ok((quoted[..at].replace("\\\"", "\"").into(), rest));
            }
            // Envoy's documentation escapes only quotes, and the subject that it quotes (RFC 2253) also escapes
            // backslashes. If readers could differ in whether the quote closes the value, it is refused.
            b'"' if backslashes % 2 == 0 => return Err(malformed("backslashes before a quote")),
            _ => backslashes = 0,
        }
    }
    Err(malformed("a quote that is not closed"))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
#[path = "xfcc_tests.rs"]
mod tests;
