//! JWS compact serialisation (RFC 7515 §7.1), the only accepted form of tokens.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fault::invalid;
use crate::decide::failure::Failure;

/// The three parts of a token, not decoded. Its length was checked before, together with the header that
/// carries it.
#[derive(Clone, Debug)]
pub(crate) struct Compact<'a> {
    token: Cow<'a, str>,
    /// The dot after the header.
    first_dot: usize,
    /// The dot after the payload.
    second_dot: usize,
}

impl<'a> Compact<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, Failure> {
        let fault = |received: &'static str| invalid("format", "a compact JWS", received);
        // Without an early exit, so that the compiler vectorizes it.
        if !token.bytes().fold(true, |all, byte| all & is_of_a_token(byte)) {
            let json = token.contains(['{', '}', '"']);
            let other = "characters that are not of base64url";
            return Err(fault(if json { "JSON" } else { other }));
        }
        let mut dots = token.match_indices('.').map(|(at, _)| at);
        match [dots.next(), dots.next(), dots.next(), dots.next()] {
            [Some(_), Some(second_dot), None, None] if second_dot + 1 == token.len() => {
                Err(fault("no signature"))
            }
            [Some(first_dot), Some(second_dot), None, None] => {
                Ok(Self { token: token.into(), first_dot, second_dot })
            }
            [.., Some(_)] => Err(fault("five parts or more, as an encrypted one has")),
            [.., Some(_), None] => Err(fault("four parts")),
            _ => Err(fault("fewer than three parts")),
        }
    }

    /// The same parts, of a copy of the token.
    pub(crate) fn into_owned(self) -> Compact<'static> {
        let Self { token, first_dot, second_dot } = self;
        Compact { token: token.into_owned().into(), first_dot, second_dot }
    }

    pub(crate) fn header(&self) -> Result<Vec<u8>, Failure> {
        decoded("header", &self.token[..self.first_dot])
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, Failure> {
        decoded("payload", &self.token[self.first_dot + 1..self.second_dot])
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, Failure> {
        decoded("signature", &self.token[self.second_dot + 1..])
    }

    /// What is signed: header and payload, with the dot between them.
    pub(crate) fn message(&self) -> &[u8] {
        &self.token.as_bytes()[..self.second_dot]
    }

    #[cfg(feature = "jsonwebtoken")]
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

/// Strict base64url: no padding, no spaces, and unused bits are zero, so that each token has one encoding.
fn decoded(part: &'static str, text: &str) -> Result<Vec<u8>, Failure> {
    let fault = |_| invalid(part, "base64url without padding", "something else");
    URL_SAFE_NO_PAD.decode(text).map_err(fault)
}

fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(token: &str) -> String {
        Compact::split(token).expect_err(token).received_value().expect("said").to_owned()
    }

    #[test]
    fn rule_05_only_the_compact_form_is_taken() {
        let token = Compact::split("e30.e30.c2ln").expect("three parts");
        assert_eq!(token.message(), b"e30.e30");
        assert_eq!(token.header(), Ok(b"{}".to_vec()));
        assert_eq!(token.signature(), Ok(b"sig".to_vec()));

        assert_eq!(received(r#"{"payload":"e30","signatures":[]}"#), "JSON");
        assert_eq!(received("e30.e30.c2ln\""), "JSON");
        assert_eq!(received(""), "fewer than three parts");
        assert_eq!(received("e30.e30"), "fewer than three parts");
        assert_eq!(received("e30.e30.c2ln.e30"), "four parts");
        assert_eq!(received("e30.e30."), "no signature");
        for odd in ["e30.e30.c2l+", "e30.e30.c2l/", "e30.e30.c2k=", "e30.e30. c2ln", "é.e30.c2ln"]
        {
            assert_eq!(received(odd), "characters that are not of base64url", "{odd}");
        }
    }

    #[test]
    fn rule_05_an_encrypted_token_is_told_apart() {
        let jwe = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y3Q.dGFn";
        assert_eq!(received(jwe), "five parts or more, as an encrypted one has");
    }

    #[test]
    fn one_token_has_one_spelling() {
        // `c2k` encodes `si`; the last two bits of `c2l` are not zero.
        assert!(Compact::split("e30.e30.c2k").expect("three parts").signature().is_ok());
        assert!(Compact::split("e30.e30.c2l").expect("three parts").signature().is_err());
        assert!(Compact::split("A.e30.c2k").expect("three parts").header().is_err());
    }
}
