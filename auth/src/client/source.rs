//! Sources of tokens.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::token::{BadToken, BearerToken};

/// Provides the token for each call.
///
/// Implemented by [`BearerToken`], [`TokenFile`](super::TokenFile) and functions that return a token. For
/// asynchronous functions, see [`token_async`](super::token_async).
pub trait TokenSource: Send + Sync + 'static {
    /// The token to send now. It is called for every call, so cache the token.
    fn token(&self) -> Obtaining;
}

/// A token: now or later.
pub enum Obtaining {
    /// The token, or why there is none.
    Ready(Result<BearerToken, NoToken>),
    /// A future returns the token.
    Later(Pin<Box<dyn Future<Output = Result<BearerToken, NoToken>> + Send>>),
}

/// Why there is no token. The call ends `UNAVAILABLE` with this text, and is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoToken(String);

impl NoToken {
    /// There is no token, for that reason. The caller sees the text: put no secret into it.
    pub fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl TokenSource for BearerToken {
    fn token(&self) -> Obtaining {
        Obtaining::Ready(Ok(self.clone()))
    }
}

impl<F> TokenSource for F
where
    F: Fn() -> Result<BearerToken, NoToken> + Send + Sync + 'static,
{
    fn token(&self) -> Obtaining {
        Obtaining::Ready(self())
    }
}

impl fmt::Debug for Obtaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(token) => f.debug_tuple("Ready").field(token).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NoToken {}

impl From<BadToken> for NoToken {
    fn from(bad: BadToken) -> Self {
        Self::new(bad)
    }
}
