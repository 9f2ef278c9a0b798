//! Where the token of a call comes from.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::token::{BadToken, BearerToken};

/// Gives the token for each call.
///
/// A [`BearerToken`] is one, and so are a [`TokenFile`](super::TokenFile) and a function that gives a
/// token. One that has to ask is made by [`token_async`].
pub trait TokenSource: Send + Sync + 'static {
    /// The token to send now. It is asked for every call: keep what is good for several.
    fn token(&self) -> Obtaining;
}

/// A token: at once, or later.
pub enum Obtaining {
    /// Here it is, or there is none.
    Ready(Result<BearerToken, NoToken>),
    /// It has to be asked for.
    Later(Pin<Box<dyn Future<Output = Result<BearerToken, NoToken>> + Send>>),
}

/// Why there is no token. The call then ends `UNAVAILABLE`, with this text, and is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoToken(String);

impl NoToken {
    /// There is none, for that reason. It is shown to whoever makes the call: put no secret into it.
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

/// Gives tokens by a function that has to ask for them.
pub fn token_async<F, T>(function: F) -> TokenAsync<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<BearerToken, NoToken>> + Send + 'static,
{
    TokenAsync(function)
}

/// What [`token_async`] makes.
#[derive(Clone, Copy)]
pub struct TokenAsync<F>(F);

impl<F, T> TokenSource for TokenAsync<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<BearerToken, NoToken>> + Send + 'static,
{
    fn token(&self) -> Obtaining {
        Obtaining::Later(Box::pin((self.0)()))
    }
}

impl<F> fmt::Debug for TokenAsync<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenAsync")
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
