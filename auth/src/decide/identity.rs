//! Who is calling.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::Extensions;
use tonic::Status;

/// Who is calling, and by what we know it.
///
/// An authenticator makes it; the layer puts it into the request's extensions, where a handler finds
/// it with [`Identity::of`]. Cloning shares it.
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
/// It becomes a [`Status`] `UNAUTHENTICATED` with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoIdentity;

impl Identity {
    /// The caller that a request has, as the layer has found it.
    ///
    /// # Errors
    ///
    /// When there is none: no [`AuthLayer`](crate::AuthLayer) stands in front, the method is public, or
    /// the layer is in shadow mode and has let a caller pass whom it does not know.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, NoIdentity> {
        Self::in_extensions(request.extensions())
    }

    /// As [`of`](Self::of), where there is no `tonic::Request`.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn in_extensions(extensions: &Extensions) -> Result<Self, NoIdentity> {
        extensions.get::<Self>().cloned().ok_or(NoIdentity)
    }

    /// Somebody who is known by that method of authentication: `jwt`, `mtls`, `api_key`, or one of
    /// your own.
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

    /// Sets who it is, as the issuer names it.
    #[must_use]
    pub fn with_subject(self, subject: impl Into<Box<str>>) -> Self {
        self.with(|inner| inner.subject = Some(subject.into()))
    }

    /// Sets who says so. A subject means something only beside its issuer.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<Arc<str>>) -> Self {
        self.with(|inner| inner.issuer = Some(issuer.into()))
    }

    /// Sets what it may do.
    #[must_use]
    pub fn with_scopes<S: Into<Box<str>>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.with(|inner| inner.scopes = scopes.into_iter().map(Into::into).collect())
    }

    /// Sets from when on it counts no more here, leeway included. Streams can be
    /// [ended](crate::AuthBuilder::end_streams_at_expiry) then.
    #[must_use]
    pub fn with_expires_at(self, at: SystemTime) -> Self {
        self.with(|inner| inner.expires_at = Some(at))
    }

    /// Sets a value of your own, which [`data`](Self::data) gives back.
    #[must_use]
    pub fn with_data<T: Any + Send + Sync>(self, data: T) -> Self {
        self.with_shared_data(Arc::new(data))
    }

    pub(crate) fn with_shared_data(self, data: Arc<dyn Any + Send + Sync>) -> Self {
        self.with(|inner| inner.data = Some(data))
    }

    /// Sets what else the caller has proved to be, as [`all_of`](crate::all_of) does.
    #[must_use]
    pub fn with_also(self, also: impl IntoIterator<Item = Self>) -> Self {
        self.with(|inner| inner.also.extend(also))
    }

    pub(crate) fn with(mut self, set: impl FnOnce(&mut Inner)) -> Self {
        let inner = match Arc::get_mut(&mut self.0) {
            Some(inner) => inner,
            None => {
                self.0 = Arc::new(self.0.copy());
                Arc::get_mut(&mut self.0).expect("made just now")
            }
        };
        inner.principal = OnceLock::new();
        set(inner);
        self
    }

    /// By which method the caller is known: `jwt`, `mtls`, `api_key`, or what an own authenticator says.
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// Who it is, as its issuer names it. By itself it is no key: another issuer may name somebody else
    /// so. See [`principal`](Self::principal).
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Who says so.
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// What it may do.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.scopes.iter().map(|scope| &**scope)
    }

    /// Whether it has that scope, exactly.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|held| **held == *scope)
    }

    /// From when on it counts no more here, leeway included; `None` if it does not expire.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// The authenticator's own value, if there is one of exactly that type: what
    /// [`with_data`](Self::with_data) was given, or for tokens the claims, as the type that
    /// [`Issuer::claims_as`](crate::jwt::Issuer::claims_as) says.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.data.as_deref()?.downcast_ref()
    }

    /// What else the caller has proved to be: see [`all_of`](crate::all_of).
    pub fn also(&self) -> &[Self] {
        &self.0.also
    }

    /// One name for one caller, fit as a key: `{issuer}#{subject}`, or `{method}:{subject}` where there is
    /// no issuer.
    ///
    /// Two callers with different names never have the same, whatever they are called; all those of an
    /// issuer, or of a method, who have no subject share one, so count and limit nobody by it whose tokens
    /// need not have a `sub`. So that none can borrow what stands for
    /// another, `%` and `#` are written `%25` and `%23` everywhere but in the subject of an issuer. It is
    /// what [`CallInfo::principal`](tonic_call::CallInfo::principal) says.
    pub fn principal(&self) -> Arc<str> {
        Arc::clone(self.0.principal.get_or_init(|| self.0.name().into()))
    }
}

impl Inner {
    /// With an issuer there is a `#` in it, and the first one ends the issuer; without, there is none, and
    /// the first `:` ends the method.
    fn name(&self) -> String {
        let subject = self.subject.as_deref().unwrap_or_default();
        match &self.issuer {
            Some(issuer) => format!("{}#{subject}", escaped(issuer)),
            None => {
                let method = escaped(&self.method).replace(':', "%3A");
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

fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('#', "%23")
}

/// Says nothing of claims and data: they may hold what belongs in no log.
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
