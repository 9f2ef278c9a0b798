//! What the operator hears of keys.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic_call::guarded;

/// A fetch of an issuer's keys has ended: see [`JwtBuilder::on_keys`](crate::jwt::JwtBuilder::on_keys).
#[derive(Debug)]
#[non_exhaustive]
pub struct KeysEvent<'a> {
    /// Whose keys. A name for logs, not for labels.
    pub issuer: &'a str,
    /// How it ended.
    pub result: FetchResult,
    /// Why it failed, in words.
    pub why: Option<&'a str>,
    /// How many keys serve now.
    pub keys: usize,
    /// How long ago the last good fetch was; `None` if there was none.
    pub age: Option<Duration>,
    /// How much longer the cool-down lasts: see [`KeysStatus::cool_down`].
    pub cool_down: Option<Duration>,
    /// How many tokens were refused for an unknown `kid`: see [`KeysStatus::unknown_kids`].
    pub unknown_kids: u64,
}

/// The keys of an issuer as they are now: see [`Jwt::keys_status`](crate::jwt::Jwt::keys_status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeysStatus {
    /// Whose keys. A name for logs, not for labels.
    pub issuer: Arc<str>,
    /// How many keys verify tokens: none before the first fetch, when they are withdrawn, and when they are
    /// [too old](crate::jwt::Issuer::stale_for).
    pub keys: usize,
    /// How long ago the last good fetch was; `None` if there was none, or if its keys are withdrawn.
    pub age: Option<Duration>,
    /// How much longer no fetch begins for an unknown `kid` or a
    /// [`refresh`](crate::jwt::Jwt::refresh); `None` if it would begin at once.
    pub cool_down: Option<Duration>,
    /// How many fetches have failed since the last good one.
    pub failed_fetches: u32,
    /// How many tokens were refused, since the verifier was built, because the issuer has no key of their
    /// `kid`. Strangers can make it grow.
    pub unknown_kids: u64,
}

/// How a fetch of keys ended, fit for a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchResult {
    /// There are keys.
    Ok,
    /// Nobody answered, or the connection broke.
    Unreachable,
    /// It took too long.
    Timeout,
    /// The answer was not `200 OK`; a redirect is not followed.
    Status,
    /// The answer was too large.
    TooLarge,
    /// The answer is no set of keys.
    Malformed,
    /// The answer is a set without a key that can be used: those from before are withdrawn.
    Empty,
    /// The discovery document is another issuer's.
    WrongIssuer,
    /// The address is not one that may be asked: not `https`, for example, or `https` without a
    /// [TLS provider](crate#features). Or the file with the token to ask with can't be read.
    Refused,
}

impl FetchResult {
    /// `ok`, `unreachable`, `timeout`, `status`, `too_large`, `malformed`, `empty`, `wrong_issuer` or
    /// `refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::WrongIssuer => "wrong_issuer",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for FetchResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct OnKeys(Option<Arc<Told>>);

type Told = dyn Fn(&KeysEvent<'_>) + Send + Sync;

impl OnKeys {
    pub(crate) fn new(told: impl Fn(&KeysEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(crate) fn tell(&self, event: &KeysEvent<'_>) {
        let Some(told) = &self.0 else { return };
        // Whoever fetches goes on.
        if guarded(|| told(event)).is_err() {
            tracing::error!(issuer = event.issuer, "the hook for the keys of an issuer panicked");
        }
    }
}
