use std::error::Error;
use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

use crate::decide::incoming::is_b64token;

/// A bearer token. Its text is never shown; clones share it.
#[derive(Clone)]
pub struct BearerToken(HeaderValue);

/// A text is not a bearer token. The error does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadToken;

impl BearerToken {
    /// A token. White space around it is removed, such as the line break at the end of a file.
    ///
    /// # Errors
    ///
    /// If it is not a `b64token` (RFC 6750 §2.1): letters, digits, `-._~+/`, and `=` at its end.
    pub fn new(token: &str) -> Result<Self, BadToken> {
        let token = token.trim_ascii();
        if !is_b64token(token) {
            return Err(BadToken);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| BadToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of `authorization`, marked as sensitive.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for BearerToken {
    type Err = BadToken;

    fn from_str(token: &str) -> Result<Self, BadToken> {
        Self::new(token)
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a bearer token: it is empty, or has other characters than b64token allows")
    }
}

impl Error for BadToken {}
