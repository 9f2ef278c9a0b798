//! The identity of a caller.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::Extensions;
use tonic::Status;

/// An authenticated caller.
///
/// An authenticator creates it, the layer puts it into the request's extensions, and a handler reads it with
/// [`Identity::of`]. Cloning is cheap: clones share the data.
///
/// ```
/// use tonic_auth_layer::Identity;
///
/// async fn get(request: tonic::Request<()>) -> Result<tonic::Response<String>, tonic::Status> {
///     let caller = Identity::of(&request)?;
///     Ok(tonic::Response::new(format!("hello {}", caller.subject().unwrap_or("stranger"))))
/// }
/// ```
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    method: Cow<'static, str>,
    subject: Option<Box<str>>,
    issuer: Option<Arc<str>>,
    scopes: Vec<Box<str>>,
    expires_at: Option<SystemTime>,
    /// The claims of a token, in the type of the authenticator that has read them.
    pub(crate) claims: Option<Arc<dyn Any + Send + Sync>>,
    data: Option<Arc<dyn Any + Send + Sync>>,
    also: Vec<Identity>,
    principal: OnceLock<Arc<str>>,
}

/// There is no identity: no layer has authenticated the caller, or the method is public.
///
/// With `?` it becomes a [`Status`] `UNAUTHENTICATED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoIdentity;

impl Identity {
    /// The caller of a request.
    ///
    /// # Errors
    ///
    /// If there is none: there is no [`AuthLayer`](crate::AuthLayer), the method is public, or the layer is in
    /// shadow mode and the caller is not authenticated.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, NoIdentity> {
        Self::in_extensions(request.extensions())
    }

    /// As [`of`](Self::of), without a `tonic::Request`.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn in_extensions(extensions: &Extensions) -> Result<Self, NoIdentity> {
        extensions.get::<Self>().cloned().ok_or(NoIdentity)
    }

    /// A caller who was authenticated by that method: `jwt`, `mtls`, `api_key`, or a name of your own.
    pub fn new(method: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            method: method.into(),
            subject: None,
            issuer: None,
            scopes: Vec::new(),
            expires_at: None,
            claims: None,
            data: None,
            also: Vec::new(),
            principal: OnceLock::new(),
        }))
    }

    /// Sets the name of the caller, as the issuer gives it.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<Box<str>>) -> Self {
        self.with(|inner| inner.subject = Some(subject.into()))
    }

    /// Sets the issuer. A subject is unique only for its issuer.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<Arc<str>>) -> Self {
        self.with(|inner| inner.issuer = Some(issuer.into()))
    }

    /// Sets the scopes of the caller.
    #[must_use]
    pub fn with_scopes<S: Into<Box<str>>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.with(|inner| inner.scopes = scopes.into_iter().map(Into::into).collect())
    }

    /// Sets when the identity expires, leeway included. Streams can be
    /// [ended](crate::AuthBuilder::end_streams_at_expiry) then.
    #[must_use]
    pub fn with_expires_at(self, at: SystemTime) -> Self {
        self.with(|inner| inner.expires_at = Some(at))
    }

    /// Sets a value of your own, which [`data`](Self::data) returns.
    #[must_use]
    pub fn with_data<T: Any + Send + Sync>(self, data: T) -> Self {
        self.with_shared_data(Arc::new(data))
    }

    pub(crate) fn with_shared_data(self, data: Arc<dyn Any + Send + Sync>) -> Self {
        self.with(|inner| inner.data = Some(data))
    }

    /// Adds further identities of the same caller, as [`all_of`](crate::all_of) does.
    #[must_use]
    pub fn with_also(self, also: impl IntoIterator<Item = Self>) -> Self {
        self.with(|inner| inner.also.extend(also))
    }

    pub(crate) fn with(mut self, set: impl FnOnce(&mut Inner)) -> Self {
        let inner = match Arc::get_mut(&mut self.0) {
            Some(inner) => inner,
            None => {
                self.0 = Arc::new(self.0.copy());
                Arc::get_mut(&mut self.0).expect("it was created here")
            }
        };
        inner.principal = OnceLock::new();
        set(inner);
        self
    }

    /// The authentication method: `jwt`, `mtls`, `api_key`, or the name that a custom authenticator sets.
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The name of the caller, as its issuer gives it. Do not use it as a key: two issuers can use the same name for
    /// different callers. See [`principal`](Self::principal).
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// The scopes of the caller.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.scopes.iter().map(|scope| &**scope)
    }

    /// Whether the caller has exactly that scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|held| **held == *scope)
    }

    /// When the identity expires, leeway included; `None` if it does not expire.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// The authenticator's value, if it has exactly that type: what [`with_data`](Self::with_data) has set, or for
    /// tokens the claims in the type of [`Issuer::claims_as`](crate::jwt::Issuer::claims_as).
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.data.as_deref()?.downcast_ref()
    }

    /// Further identities of the same caller: see [`all_of`](crate::all_of).
    pub fn also(&self) -> &[Self] {
        &self.0.also
    }

    /// A unique name of the caller, fit as a key: `{issuer}#{subject}`, or `{method}:{subject}` without an issuer.
    ///
    /// Different callers have different principals. Callers without a subject share the principal of their issuer or
    /// method, so don't use it for limits if tokens can lack a `sub`. To keep principals unambiguous, `%` and `#`
    /// are written `%25` and `%23`, except in the subject of an issuer.
    ///
    /// It is also [`CallInfo::principal`](tonic_call::CallInfo::principal).
    pub fn principal(&self) -> Arc<str> {
        Arc::clone(self.0.principal.get_or_init(|| self.0.name().into()))
    }
}

impl Inner {
    /// With an issuer, the first `#` ends the issuer; without one there is no `#`, and the first `:` ends the method.
    fn name(&self) -> String {
        let subject = self.subject.as_deref().unwrap_or_default();
        match &self.issuer {
            Some(issuer) => format!("{}#{subject}", escaped(issuer)),
            None => {
                let method = replaced(escaped(&self.method), ':', "%3A");
                format!("{method}:{}", escaped(subject))
            }
        }
    }

    fn copy(&self) -> Self {
        Self {
            method: self.method.clone(),
            subject: self.subject.clone(),
            issuer: self.issuer.clone(),
            scopes: self.scopes.clone(),
            expires_at: self.expires_at,
            claims: self.claims.clone(),
            data: self.data.clone(),
            also: self.also.clone(),
            principal: OnceLock::new(),
        }
    }
}

fn escaped(name: &str) -> Cow<'_, str> {
    replaced(replaced(name.into(), '%', "%25"), '#', "%23")
}

/// Allocates only if there is something to replace.
fn replaced<'a>(text: Cow<'a, str>, from: char, to: &str) -> Cow<'a, str> {
    match text.contains(from) {
        true => text.replace(from, to).into(),
        false => text,
    }
}

/// Omits claims and data, which can be confidential.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("method", &self.0.method)
            .field("subject", &self.0.subject)
            .field("issuer", &self.0.issuer)
            .field("scopes", &self.0.scopes)
            .field("expires_at", &self.0.expires_at)
            .field("also", &self.0.also)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller is not authenticated")
    }
}

impl Error for NoIdentity {}

impl From<NoIdentity> for Status {
    fn from(none: NoIdentity) -> Self {
        Self::unauthenticated(none.to_string())
    }
}
