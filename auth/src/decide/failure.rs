//! Why a call is refused: a word for the caller, and the failed check for the operator.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::Code;
use tonic_call::sanitize;

/// Why a call is refused, in a word that callers and labels can hold: the `reason` of the
/// `google.rpc.ErrorInfo` that the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There are no credentials.
    CredentialsMissing,
    /// There are some, but not in the form that they must have, or more than once.
    CredentialsMalformed,
    /// They are of the right form, and not good: signature, issuer, audience, revoked …
    TokenInvalid,
    /// They were good once.
    TokenExpired,
    /// The caller is known, and lacks a scope.
    ScopeInsufficient,
    /// The caller is known, and the method's own function says no.
    AccessDenied,
    /// There is no such method, and the caller is known, or need not be.
    MethodUnknown,
    /// Whether they are good can't be told now.
    VerifierUnavailable,
    /// Too many of this caller's credentials were bad.
    RateLimited,
}

impl Reason {
    /// The word: `CREDENTIALS_MISSING`, `TOKEN_EXPIRED`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "CREDENTIALS_MISSING",
            Self::CredentialsMalformed => "CREDENTIALS_MALFORMED",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::ScopeInsufficient => "SCOPE_INSUFFICIENT",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::MethodUnknown => "METHOD_UNKNOWN",
            Self::VerifierUnavailable => "VERIFIER_UNAVAILABLE",
            Self::RateLimited => "RATE_LIMITED",
        }
    }

    /// The code that goes with it.
    pub fn code(self) -> Code {
        match self {
            Self::CredentialsMissing
            | Self::CredentialsMalformed
            | Self::TokenInvalid
            | Self::TokenExpired => Code::Unauthenticated,
            Self::ScopeInsufficient | Self::AccessDenied => Code::PermissionDenied,
            // As tonic's router answers: callers who know an older method fall back on it.
            Self::MethodUnknown => Code::Unimplemented,
            Self::VerifierUnavailable => Code::Unavailable,
            Self::RateLimited => Code::ResourceExhausted,
        }
    }

    /// The status message that the caller sees: empty for a method that is not served, as tonic's router has it.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "credentials are missing",
            Self::CredentialsMalformed => "the credentials are malformed",
            Self::TokenInvalid => "the credentials are not valid",
            Self::TokenExpired => "the credentials have expired",
            Self::ScopeInsufficient => "permission denied: a scope is missing",
            Self::AccessDenied => "permission denied",
            Self::MethodUnknown => "",
            Self::VerifierUnavailable => "credentials can't be verified now, try again later",
            Self::RateLimited => "too many bad credentials, try again later",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which check has failed. The caller learns the [`Reason`] alone; the rest is the operator's.
///
/// Never put text of the token or key into it: a claim's value is fine, an undecoded piece is not.
///
/// ```
/// use tonic_auth_layer::{Failure, Reason};
///
/// let failure = Failure::new(Reason::TokenInvalid, "aud").expected("orders").received("billing");
/// assert_eq!(failure.to_string(), r#"TOKEN_INVALID: aud: expected "orders", received "billing""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    reason: Reason,
    check: &'static str,
    expected: Option<Cow<'static, str>>,
    received: Option<Box<str>>,
    retry_after: Option<Duration>,
}

/// How many bytes of a received value are kept.
pub const MAX_RECEIVED_BYTES: usize = 128;

impl Failure {
    /// That check has failed, and this is what the caller is told.
    pub fn new(reason: Reason, check: &'static str) -> Self {
        Self { reason, check, expected: None, received: None, retry_after: None }
    }

    /// Sets what was asked for.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<Cow<'static, str>>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets what there was instead: at most [`MAX_RECEIVED_BYTES`] bytes of it are kept, with control
    /// characters escaped.
    #[must_use]
    pub fn received<T: AsRef<[u8]> + ?Sized>(mut self, received: &T) -> Self {
        self.received = Some(bounded(received.as_ref()).into());
        self
    }

    /// Sets how long the caller should wait at least: it is told so, in a `google.rpc.RetryInfo`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What the caller is told.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Which check it was, in a short and stable word.
    pub fn check(&self) -> &'static str {
        self.check
    }

    /// What was asked for.
    pub fn expected_value(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// What there was instead; it is the caller's text, bounded and escaped.
    pub fn received_value(&self) -> Option<&str> {
        self.received.as_deref()
    }

    /// How long the caller should wait at least.
    pub fn retry_after_value(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Text from the wire on one line, and short.
fn bounded(bytes: &[u8]) -> String {
    let mut text = sanitize(bytes).into_owned();
    if text.len() > MAX_RECEIVED_BYTES {
        let end = (0..=MAX_RECEIVED_BYTES).rfind(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.check)?;
        match (self.expected_value(), self.received_value()) {
            (Some(expected), Some(received)) => {
                write!(f, ": expected {expected:?}, received {received:?}")
            }
            (Some(expected), None) => write!(f, ": expected {expected:?}"),
            (None, Some(received)) => write!(f, ": received {received:?}"),
            (None, None) => Ok(()),
        }
    }
}

impl Error for Failure {}
