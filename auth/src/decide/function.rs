//! Authenticators from functions.

use std::fmt;
use std::future::Future;

use super::authenticate::{Authenticate, Authenticating, Outcome};
use super::incoming::{Head, Incoming};

/// Authenticates callers by a synchronous function.
///
/// It returns an [`Identity`](crate::Identity) or an [`Outcome`], or an `Option` or `Result` of one:
///
/// ```
/// use tonic_auth_layer::{Failure, Identity, Reason, authenticate_fn};
///
/// let by_token = authenticate_fn(|call| match call.bearer()? {
///     None => Ok(None), // no token: absent
///     Some("open-sesame") => Ok(Some(Identity::new("token").with_subject("ali"))),
///     Some(_) => Err(Failure::new(Reason::TokenInvalid, "token")),
/// });
/// ```
pub fn authenticate_fn<F, O>(function: F) -> AuthenticateFn<F>
where
    F: Fn(&Incoming<'_>) -> O + Send + Sync + 'static,
    O: Into<Outcome>,
{
    AuthenticateFn(function)
}

/// Authenticates callers by an asynchronous function, which gets a copy of the call's head.
///
/// ```
/// use tonic_auth_layer::{Failure, Head, Identity, Outcome, authenticate_async};
/// # async fn introspect(_: &str) -> Result<Option<Identity>, Failure> { Ok(None) }
///
/// let by_introspection = authenticate_async(|head: Head| async move {
///     match head.as_incoming().bearer() {
///         Ok(Some(token)) => introspect(token).await.into(),
///         Ok(None) => Outcome::Absent,
///         Err(failure) => failure.into(),
///     }
/// });
/// ```
pub fn authenticate_async<F, A>(function: F) -> AuthenticateAsync<F>
where
    F: Fn(Head) -> A + Send + Sync + 'static,
    A: Future<Output: Into<Outcome>> + Send + 'static,
{
    AuthenticateAsync(function)
}

/// The authenticator of [`authenticate_fn`].
#[derive(Clone, Copy)]
pub struct AuthenticateFn<F>(F);

/// The authenticator of [`authenticate_async`].
#[derive(Clone, Copy)]
pub struct AuthenticateAsync<F>(F);

impl<F, O> Authenticate for AuthenticateFn<F>
where
    F: Fn(&Incoming<'_>) -> O + Send + Sync + 'static,
    O: Into<Outcome>,
{
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        Authenticating::Ready((self.0)(call).into())
    }
}

impl<F, A> Authenticate for AuthenticateAsync<F>
where
    F: Fn(Head) -> A + Send + Sync + 'static,
    A: Future<Output: Into<Outcome>> + Send + 'static,
{
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        let found = (self.0)(call.to_head());
        Authenticating::later(async move { found.await.into() })
    }
}

impl<F> fmt::Debug for AuthenticateFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthenticateFn")
    }
}

impl<F> fmt::Debug for AuthenticateAsync<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthenticateAsync")
    }
}
