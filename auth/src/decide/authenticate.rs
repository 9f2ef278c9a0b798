//! How a caller is recognised.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::incoming::Incoming;

/// Tells who is calling, from the head of a call: before a byte of its body is read.
///
/// Functions become one by [`authenticate_fn`](crate::authenticate_fn) and
/// [`authenticate_async`](crate::authenticate_async).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not authenticate callers",
    label = "not an `Authenticate`",
    note = "an `Issuer` or a `JwtBuilder` becomes one by `.build()?`, a function by `authenticate_fn` or \
            `authenticate_async`"
)]
pub trait Authenticate: Send + Sync + 'static {
    /// Looks at a call. An answer that is known at once is [`Ready`](Authenticating::Ready), and costs no
    /// allocation.
    ///
    /// A panic in it, or in the future, refuses the call: nobody passes because a check broke.
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating;

    /// The headers in which its credentials come: their values are marked as sensitive, and can be
    /// [removed](crate::AuthBuilder::remove_credentials) before the handler sees them. By default
    /// `authorization`.
    fn headers(&self) -> Vec<http::HeaderName> {
        vec![http::header::AUTHORIZATION]
    }

    /// The schemes of HTTP authentication that a caller could use, for the `www-authenticate` of a
    /// refusal (RFC 9110 §11.6.1). By default `Bearer`.
    fn schemes(&self) -> Vec<&'static str> {
        vec!["Bearer"]
    }
}

/// What an authenticator found: at once, or later.
pub enum Authenticating {
    /// It knows.
    Ready(Outcome),
    /// It has to ask.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// What an authenticator found.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The caller is known.
    Identified {
        /// Who it is.
        identity: Identity,
        /// Whether that was remembered from an earlier call.
        cached: bool,
    },
    /// There is no credential of this kind.
    Absent,
    /// There is one, and it is not good.
    Refused(Failure),
    /// It can't be told now whether it is good: no keys yet, or whom to ask is away.
    Unavailable(Failure),
}

impl Outcome {
    /// The caller is known, as was found just now.
    pub fn identified(identity: Identity) -> Self {
        Self::Identified { identity, cached: false }
    }

    /// The caller is known from an earlier call.
    pub fn cached(identity: Identity) -> Self {
        Self::Identified { identity, cached: true }
    }

    /// It can't be told now, because of that check.
    pub fn unavailable(check: &'static str) -> Self {
        Self::Unavailable(Failure::new(Reason::VerifierUnavailable, check))
    }
}

impl Authenticating {
    /// Finds out later.
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
    /// Refused; or not to be told now, if that is the reason.
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
