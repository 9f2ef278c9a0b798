//! The head of a call, for authenticators.

use std::fmt;
use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, request};
use tonic_call::{Peer, Rpc, find_header};

use super::failure::{Failure, Reason};

/// The head of an incoming call.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    pub(crate) head: &'a request::Parts,
    rpc: &'a Rpc,
    now: SystemTime,
}

/// A copy of an [`Incoming`], for an asynchronous authenticator.
#[derive(Clone)]
pub struct Head {
    head: request::Parts,
    rpc: Rpc,
    now: SystemTime,
}

/// The maximum length of a header with credentials, in bytes: what gRPC suggests for all headers together (gRPC over
/// HTTP/2, "Requests").
pub const MAX_CREDENTIALS_BYTES: usize = 8 * 1024;

impl<'a> Incoming<'a> {
    /// A call with that head, of that method, received at that time.
    pub fn new(head: &'a request::Parts, rpc: &'a Rpc, now: SystemTime) -> Self {
        Self { head, rpc, now }
    }

    /// The called method.
    pub fn rpc(&self) -> &'a Rpc {
        self.rpc
    }

    /// The call's metadata.
    pub fn headers(&self) -> &'a HeaderMap {
        &self.head.headers
    }

    /// The request's extensions: the connection's info, for example.
    pub fn extensions(&self) -> &'a Extensions {
        &self.head.extensions
    }

    /// When the call was received, by the layer's clock.
    pub fn now(&self) -> SystemTime {
        self.now
    }

    /// The peer of the connection. Behind a proxy it is the proxy: see
    /// [`TrustedProxies::client_of`](tonic_call::TrustedProxies::client_of).
    pub fn peer(&self) -> Option<Peer> {
        Peer::of(self.extensions())
    }

    /// An owned copy.
    pub fn to_head(&self) -> Head {
        Head { head: self.head.clone(), rpc: self.rpc.clone(), now: self.now }
    }

    /// The only value of a header.
    ///
    /// # Errors
    ///
    /// If there are several values, because readers differ in which one counts, or if it is longer than
    /// [`MAX_CREDENTIALS_BYTES`].
    pub fn only(&self, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Failure> {
        let headers = self.headers();
        let Some(value) = find_header(headers, name) else { return Ok(None) };
        // Most requests repeat no header at all.
        let repeats = headers.len() > headers.keys_len();
        if repeats && headers.get_all(name).iter().nth(1).is_some() {
            return Err(malformed("repeated").expected("one value").received("several"));
        }
        if value.len() > MAX_CREDENTIALS_BYTES {
            let length = format!("{} bytes", value.len());
            return Err(malformed("length").expected("8192 bytes at most").received(&length));
        }
        Ok(Some(value))
    }

    /// The scheme and the credentials of `authorization`, if it is there (RFC 9110 §11.6.2).
    ///
    /// # Errors
    ///
    /// If it is present more than once, is too long, or is not a scheme, spaces, and visible ASCII.
    pub fn authorization(&self) -> Result<Option<(&'a str, &'a str)>, Failure> {
        let Some(value) = self.only(&AUTHORIZATION)? else { return Ok(None) };
        let split = visible(value).and_then(|text| text.split_once(' '));
        let Some((scheme, rest)) = split else { return Err(malformed("authorization")) };
        let credentials = rest.trim_start_matches(' ');
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(is_token) || credentials.is_empty() {
            return Err(malformed("authorization"));
        }
        Ok(Some((scheme, credentials)))
    }

    /// The token of `authorization: Bearer …`; the scheme is compared without regard to case. `None` if
    /// there is no `authorization`, or one of another scheme.
    ///
    /// # Errors
    ///
    /// As [`authorization`](Self::authorization), or if it is not a `b64token` (RFC 6750 §2.1).
    pub fn bearer(&self) -> Result<Option<&'a str>, Failure> {
        match self.authorization()? {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                if is_b64token(token) { Ok(Some(token)) } else { Err(malformed("b64token")) }
            }
            _ => Ok(None),
        }
    }
}

fn malformed(check: &'static str) -> Failure {
    Failure::new(Reason::CredentialsMalformed, check)
}

/// A header value that consists of visible ASCII, spaces and tabs: what `HeaderValue::to_str` returns, in less time.
fn visible(value: &HeaderValue) -> Option<&str> {
    let fits = |byte: &u8| matches!(byte, 0x20..0x7f | b'\t');
    // Without an early exit, so that the compiler vectorizes it.
    let visible = value.as_bytes().iter().fold(true, |all, byte| all & fits(byte));
    std::str::from_utf8(value.as_bytes()).ok().filter(|_| visible)
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
pub(crate) fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=').as_bytes();
    let fits =
        |byte: &u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-'..=b'/' | b'_' | b'~' | b'+');
    // Without an early exit, so that the compiler vectorizes it.
    !body.is_empty() && body.iter().fold(true, |all, byte| all & fits(byte))
}

impl Head {
    /// The call as an [`Incoming`].
    pub fn as_incoming(&self) -> Incoming<'_> {
        Incoming { head: &self.head, rpc: &self.rpc, now: self.now }
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("rpc", self.rpc).finish_non_exhaustive()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_incoming().fmt(f)
    }
}
