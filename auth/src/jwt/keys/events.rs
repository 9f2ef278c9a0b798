//! Events and status of keys, for the operator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic_call::guarded;

/// A fetch of an issuer's keys has ended: see [`JwtBuilder::on_keys`](crate::jwt::JwtBuilder::on_keys).
#[derive(Debug)]
#[non_exhaustive]
pub struct KeysEvent<'a> {
    /// The issuer. For logs, not for metric labels.
    pub issuer: &'a str,
    /// The result.
    pub result: FetchResult,
    /// Why it failed.
    pub why: Option<&'a str>,
    /// How many keys are in use now.
    pub keys: usize,
    /// The time since the last successful fetch; `None` if there was none.
    pub age: Option<Duration>,
    /// The rest of the cool-down: see [`KeysStatus::cool_down`].
    pub cool_down: Option<Duration>,
    /// How many tokens were refused for an unknown `kid`: see [`KeysStatus::unknown_kids`].
    pub unknown_kids: u64,
}

/// The state of an issuer's keys: see [`Jwt::keys_status`](crate::jwt::Jwt::keys_status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeysStatus {
    /// The issuer. For logs, not for metric labels.
    pub issuer: Arc<str>,
    /// How many keys verify tokens: 0 before the first fetch, after the issuer has withdrawn them, and when they are
    /// [too old](crate::jwt::Issuer::stale_for).
    pub keys: usize,
    /// The time since the last successful fetch; `None` if there was none, or the issuer has withdrawn its keys.
    pub age: Option<Duration>,
    /// The time until an unknown `kid` or a [`refresh`](crate::jwt::Jwt::refresh) can start a fetch again; `None` if
    /// it can now.
    pub cool_down: Option<Duration>,
    /// How many fetches have failed since the last successful one.
    pub failed_fetches: u32,
    /// How many tokens were refused since the verifier was built because of an unknown `kid`. Unauthenticated
    /// callers can increase it.
    pub unknown_kids: u64,
}

/// The result of a fetch of keys. Fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchResult {
    /// The fetch succeeded.
    Ok,
    /// There was no response, or the connection broke.
    Unreachable,
    /// It took too long.
    Timeout,
    /// The response was not `200 OK`. Redirects are not followed.
    Status,
    /// The response was too large.
    TooLarge,
    /// The response is not a key set.
    Malformed,
    /// The key set contains no usable key. The previous keys are removed.
    Empty,
    /// The discovery document is of another issuer.
    WrongIssuer,
    /// The URL is not allowed: for example it is not `https`, or there is no [TLS provider](crate#features). Or the
    /// bearer file can't be read.
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

/// The hook for fetches, if there is one.
#[derive(Clone, Default)]
pub(crate) struct OnKeys(Option<Arc<Hook>>);

type Hook = dyn Fn(&KeysEvent<'_>) + Send + Sync;

impl OnKeys {
    pub(crate) fn new(hook: impl Fn(&KeysEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(crate) fn call(&self, event: &KeysEvent<'_>) {
        let Some(hook) = &self.0 else { return };
        if guarded(|| hook(event)).is_err() {
            tracing::error!(target: "tonic_auth_layer", issuer = event.issuer, "the hook for the keys of an issuer panicked");
        }
    }
}
