//! Why there is no decision from Redis.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a [`RedisStore`](crate::RedisStore) cannot be used, or is not used now. Its text has neither the URL nor the
/// password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is not one of Redis: `redis://[[user]:password@]host[:port][/database]`.
    Url,
    /// There is no URL, or several differ in their user, password, database or TLS, or one is that of a Unix socket.
    Urls,
    /// The URL begins with `rediss://`, and this program has none of the features `redis-tls-*`.
    NoTls,
    /// The certificates of the authority are not PEM, or the URL does not begin with `rediss://`.
    Authority,
    /// No connection was needed so far, or the first one is being made.
    Starting,
    /// There is no connection.
    Unreachable(String),
    /// No sentinel knows a primary of this name.
    UnknownPrimary(String),
    /// Redis, or a sentinel, does not accept the user or the password: of the URL, or of
    /// [`credentials`](crate::RedisStore::credentials).
    Login,
    /// Redis answers with an error, which has this code: `OOM`, `NOPERM`, `READONLY` …
    Refused(String),
    /// Redis has not answered in this time.
    Late(Duration),
}

impl StoreError {
    pub(super) fn of(error: &RedisError) -> Self {
        // Texts of the server can repeat what it was sent.
        match (error.kind(), error.code()) {
            (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => Self::Login,
            (_, Some(code)) => Self::Refused(code.to_owned()),
            (ErrorKind::Server(ServerErrorKind::NoPerm), _) => Self::Refused("NOPERM".to_owned()),
            (ErrorKind::Io, _) => {
                let source = Error::source(error).map(ToString::to_string);
                Self::Unreachable(source.unwrap_or_else(|| error.category().to_owned()))
            }
            _ => Self::Refused(error.category().to_owned()),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "the URL of Redis is not valid: it must be redis://[[user]:password@]host[:port][/database]",
            ),
            Self::Urls => f.write_str(
                "the URLs of Redis do not fit together: there is none, one is that of a Unix socket, or they differ in \
                 their user, password, database or TLS",
            ),
            Self::NoTls => f.write_str(
                "the URL of Redis begins with rediss://, which needs the feature `redis-tls-aws-lc` or \
                 `redis-tls-ring`",
            ),
            Self::Authority => f.write_str("the authority of Redis is not PEM with certificates, or the URL does not begin with rediss://"),
            Self::Starting => f.write_str("there is no connection to Redis yet"),
            Self::Unreachable(error) => write!(f, "there is no connection to Redis: {error}"),
            Self::UnknownPrimary(name) => {
                write!(f, "no sentinel of Redis knows a primary with the name {name:?}")
            }
            Self::Login => f.write_str("Redis does not accept the user or the password of its URL, or of `credentials`"),
            Self::Refused(code) => write!(f, "Redis answers with the error {code}"),
            Self::Late(budget) => write!(f, "Redis has not answered within {budget:?}"),
        }
    }
}

impl Error for StoreError {}
