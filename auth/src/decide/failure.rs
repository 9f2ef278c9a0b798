//! Why a call is refused: a reason for the caller, and the failed check for the operator.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::Code;
use tonic_call::sanitize;

/// Why a call is refused: the `reason` of the `google.rpc.ErrorInfo` that the caller gets. Fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There are no credentials.
    CredentialsMissing,
    /// The credentials are malformed, too long, or present more than once.
    CredentialsMalformed,
    /// The credentials are well-formed but invalid: signature, issuer, audience, revoked …
    TokenInvalid,
    /// The credentials have expired.
    TokenExpired,
    /// The caller is authenticated, and lacks a scope.
    ScopeInsufficient,
    /// The caller is authenticated, and the method's access function returns false.
    AccessDenied,
    /// The method does not exist, and the caller has the access that would apply.
    MethodUnknown,
    /// The credentials can't be verified now.
    VerifierUnavailable,
    /// The caller's address has sent too many invalid credentials.
    RateLimited,
}

impl Reason {
    /// The reason as text: `CREDENTIALS_MISSING`, `TOKEN_EXPIRED`, …
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

    /// The status code of the refusal.
    pub fn code(self) -> Code {
        match self {
            Self::CredentialsMissing
            | Self::CredentialsMalformed
            | Self::TokenInvalid
            | Self::TokenExpired => Code::Unauthenticated,
            Self::ScopeInsufficient | Self::AccessDenied => Code::PermissionDenied,
            // As tonic's router answers: clients use it to fall back on an older method.
            Self::MethodUnknown => Code::Unimplemented,
            Self::VerifierUnavailable => Code::Unavailable,
            Self::RateLimited => Code::ResourceExhausted,
        }
    }

    /// The status message of the refusal. Empty for a missing method, as in tonic's router.
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

/// The failed check. The caller learns only the [`Reason`]; the rest is for the operator.
///
/// Never put text of the token or key into it: the value of a claim is fine, an encoded part of the token is not.
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

/// The maximum length of a received value, in bytes. Longer values are cut.
pub const MAX_RECEIVED_BYTES: usize = 128;

impl Failure {
    /// A failed check, and the reason for the caller.
    pub fn new(reason: Reason, check: &'static str) -> Self {
        Self { reason, check, expected: None, received: None, retry_after: None }
    }

    /// Sets the expected value.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<Cow<'static, str>>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets the received value: at most [`MAX_RECEIVED_BYTES`] of it, with control characters escaped.
    #[must_use]
    pub fn received<T: AsRef<[u8]> + ?Sized>(mut self, received: &T) -> Self {
        self.received = Some(bounded(received.as_ref()).into());
        self
    }

    /// Sets the minimum time that the caller should wait. It is sent as a `google.rpc.RetryInfo`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The reason for the caller.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// A short and stable name of the failed check.
    pub fn check(&self) -> &'static str {
        self.check
    }

    /// The expected value.
    pub fn expected_value(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// The received value: text from the caller, bounded and escaped.
    pub fn received_value(&self) -> Option<&str> {
        self.received.as_deref()
    }

    /// The minimum time that the caller should wait.
    pub fn retry_after_value(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Text from the wire, as one short line.
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
