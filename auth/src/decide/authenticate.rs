//! The trait of authenticators, and what they return.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::incoming::Incoming;

/// Authenticates the caller of a call by its head, before any byte of the body is read.
///
/// Functions implement it through [`authenticate_fn`](crate::authenticate_fn) and
/// [`authenticate_async`](crate::authenticate_async).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not authenticate callers",
    label = "not an `Authenticate`",
    note = "an `Issuer` or a `JwtBuilder` becomes one by `.build()?`, a function by `authenticate_fn` or \
            `authenticate_async`"
)]
pub trait Authenticate: Send + Sync + 'static {
    /// Authenticates the caller. A result that is available immediately is [`Ready`](Authenticating::Ready), and
    /// needs no allocation.
    ///
    /// A panic in this function, or in the future, refuses the call.
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating;

    /// The headers that carry the credentials. Their values are marked as sensitive, and can be
    /// [removed](crate::AuthBuilder::remove_credentials) before the handler sees them. By default
    /// `authorization`.
    fn headers(&self) -> Vec<http::HeaderName> {
        vec![http::header::AUTHORIZATION]
    }

    /// Removes headers that name a caller, if the peer is not trusted to set them. It is called first, also for public
    /// methods, so that no handler trusts a forged header. A panic refuses the call. By default, it removes nothing.
    fn remove_untrusted(&self, head: &mut http::request::Parts) {
        let _ = head;
    }

    /// The HTTP authentication schemes that a caller can use, for the `www-authenticate` of a refusal
    /// (RFC 9110 §11.6.1). By default `Bearer`.
    fn schemes(&self) -> Vec<&'static str> {
        vec!["Bearer"]
    }
}

/// The result of an authenticator: now or later.
pub enum Authenticating {
    /// The result.
    Ready(Outcome),
    /// The result is computed by a future.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// The result of an authenticator.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The caller is authenticated.
    Identified {
        /// The caller.
        identity: Identity,
        /// Whether the result was cached from an earlier call.
        cached: bool,
    },
    /// There are no credentials of this kind.
    Absent,
    /// The credentials are invalid.
    Refused(Failure),
    /// The credentials can't be verified now: there are no keys yet, or the issuer is unreachable.
    Unavailable(Failure),
}

impl Outcome {
    /// The caller is authenticated, without a cache.
    pub fn identified(identity: Identity) -> Self {
        Self::Identified { identity, cached: false }
    }

    /// The caller is authenticated, by a cached result.
    pub fn cached(identity: Identity) -> Self {
        Self::Identified { identity, cached: true }
    }

    /// The credentials can't be verified now, because of that check.
    pub fn unavailable(check: &'static str) -> Self {
        Self::Unavailable(Failure::new(Reason::VerifierUnavailable, check))
    }
}

impl Authenticating {
    /// A result that a future computes.
    pub fn later(found: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::Later(Box::pin(found))
    }
}

impl<A: Authenticate + ?Sized> Authenticate for Arc<A> {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        (**self).authenticate(call)
    }

    fn headers(&self) -> Vec<http::HeaderName> {
        (**self).headers()
    }

    fn remove_untrusted(&self, head: &mut http::request::Parts) {
        (**self).remove_untrusted(head);
    }

    fn schemes(&self) -> Vec<&'static str> {
        (**self).schemes()
    }
}

impl<A: Authenticate + ?Sized> Authenticate for Box<A> {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        (**self).authenticate(call)
    }

    fn headers(&self) -> Vec<http::HeaderName> {
        (**self).headers()
    }

    fn remove_untrusted(&self, head: &mut http::request::Parts) {
        (**self).remove_untrusted(head);
    }

    fn schemes(&self) -> Vec<&'static str> {
        (**self).schemes()
    }
}

impl From<Outcome> for Authenticating {
    fn from(outcome: Outcome) -> Self {
        Self::Ready(outcome)
    }
}

impl From<Identity> for Outcome {
    fn from(identity: Identity) -> Self {
        Self::identified(identity)
    }
}

impl From<Failure> for Outcome {
    /// `Unavailable` if the reason is [`VerifierUnavailable`](Reason::VerifierUnavailable), otherwise `Refused`.
    fn from(failure: Failure) -> Self {
        match failure.reason() {
            Reason::VerifierUnavailable => Self::Unavailable(failure),
            _ => Self::Refused(failure),
        }
    }
}

impl From<Option<Identity>> for Outcome {
    fn from(identity: Option<Identity>) -> Self {
        identity.map_or(Self::Absent, Self::identified)
    }
}

impl<T: Into<Self>> From<Result<T, Failure>> for Outcome {
    fn from(result: Result<T, Failure>) -> Self {
        result.map_or_else(Self::from, Into::into)
    }
}

impl fmt::Debug for Authenticating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(outcome) => f.debug_tuple("Ready").field(outcome).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}
