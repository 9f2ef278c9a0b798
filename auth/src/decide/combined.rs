//! Combinations of several authenticators.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, request};

use super::authenticate::{Authenticate, Authenticating, Outcome};
use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::incoming::Incoming;

/// Authenticates callers by the first of several authenticators that finds credentials of its kind. Put the strongest
/// first.
///
/// If credentials are *absent*, the next authenticator is tried. If they are *invalid*, or can't be verified now, the
/// call is refused: a caller can't fall back to a weaker kind by sending a broken stronger one. With
/// [`or_else_if_bad`](AnyOf::or_else_if_bad) the next authenticator is tried then, too.
///
/// Do not combine two [`Jwt`](crate::Jwt): to the first one, tokens of the second one's issuer are invalid. For
/// several issuers, use one [`Jwt::builder`](crate::Jwt::builder).
///
/// ```
/// # use tonic_auth_layer::{Authenticate, any_of};
/// # fn both(tokens: impl Authenticate, keys: impl Authenticate) {
/// let callers = any_of(tokens).or(keys);
/// # }
/// ```
pub fn any_of(first: impl Authenticate) -> AnyOf {
    AnyOf { authenticators: vec![Arc::new(first)], or_else_if_bad: false }
}

/// Authenticates callers with valid credentials of several kinds at once: for example a token and a client
/// certificate.
///
/// The identity is that of the first; the others are in [`Identity::also`]. It expires when the first of them does. A
/// caller with credentials of only some kinds is refused, not absent.
///
/// ```
/// # use tonic_auth_layer::{Authenticate, all_of};
/// # fn both(tokens: impl Authenticate, certificates: impl Authenticate) {
/// let callers = all_of(tokens).and(certificates);
/// # }
/// ```
pub fn all_of(first: impl Authenticate) -> AllOf {
    AllOf { authenticators: vec![Arc::new(first)] }
}

type Authenticator = Arc<dyn Authenticate>;

/// The authenticator of [`any_of`].
#[derive(Clone)]
pub struct AnyOf {
    authenticators: Vec<Authenticator>,
    or_else_if_bad: bool,
}

/// The authenticator of [`all_of`].
#[derive(Clone)]
pub struct AllOf {
    authenticators: Vec<Authenticator>,
}

impl AnyOf {
    /// Adds an authenticator that is tried if the credentials of all previous ones are absent.
    #[must_use]
    pub fn or(mut self, next: impl Authenticate) -> Self {
        self.authenticators.push(Arc::new(next));
        self
    }

    /// Tries the next authenticator also if credentials are invalid or can't be verified. The combination is then as
    /// strong as the weakest of them. If none succeeds, the first failure is reported.
    #[must_use]
    pub fn or_else_if_bad(mut self) -> Self {
        self.or_else_if_bad = true;
        self
    }
}

impl AllOf {
    /// Adds an authenticator that must succeed, too.
    #[must_use]
    pub fn and(mut self, next: impl Authenticate) -> Self {
        self.authenticators.push(Arc::new(next));
        self
    }
}

/// Combines the results of several authenticators.
trait Gather: Send + 'static {
    /// Adds the result of the next one. `Some` is the final result.
    fn next(&mut self, found: Outcome) -> Option<Outcome>;

    /// The final result after all of them.
    fn end(self) -> Outcome;
}

/// Calls one authenticator after the other.
fn ask<G: Gather>(
    authenticators: &[Authenticator],
    mut gather: G,
    call: &Incoming<'_>,
) -> Authenticating {
    for (at, authenticator) in authenticators.iter().enumerate() {
        let later = match authenticator.authenticate(call) {
            Authenticating::Ready(found) => match gather.next(found) {
                Some(outcome) => return outcome.into(),
                None => continue,
            },
            Authenticating::Later(later) => later,
        };
        let rest = authenticators[at + 1..].to_vec();
        let head = call.to_head();
        return Authenticating::later(async move {
            if let Some(outcome) = gather.next(later.await) {
                return outcome;
            }
            let rest = ask(&rest, gather, &head.as_incoming());
            match rest {
                Authenticating::Ready(outcome) => outcome,
                Authenticating::Later(later) => later.await,
            }
        });
    }
    gather.end().into()
}

struct First {
    or_else_if_bad: bool,
    /// The first failure, if failures are skipped.
    bad: Option<Outcome>,
}

impl Gather for First {
    fn next(&mut self, found: Outcome) -> Option<Outcome> {
        match found {
            Outcome::Absent => None,
            Outcome::Refused(_) | Outcome::Unavailable(_) if self.or_else_if_bad => {
                self.bad.get_or_insert(found);
                None
            }
            _ => Some(found),
        }
    }

    fn end(self) -> Outcome {
        self.bad.unwrap_or(Outcome::Absent)
    }
}

struct Every {
    identities: Vec<Identity>,
    all_cached: bool,
    one_absent: bool,
}

impl Gather for Every {
    fn next(&mut self, found: Outcome) -> Option<Outcome> {
        match found {
            Outcome::Identified { identity, cached } => {
                self.identities.push(identity);
                self.all_cached &= cached;
            }
            Outcome::Absent => self.one_absent = true,
            _ => return Some(found),
        }
        None
    }

    fn end(self) -> Outcome {
        let expires_at = self.identities.iter().filter_map(Identity::expires_at).min();
        let mut identities = self.identities.into_iter();
        let Some(first) = identities.next() else { return Outcome::Absent };
        if self.one_absent {
            let found = [first.method()].into_iter();
            let found = found.chain(identities.as_slice().iter().map(Identity::method));
            let found = format!("only {}", found.collect::<Vec<_>>().join(", "));
            let failure = Failure::new(Reason::CredentialsMissing, "all_of");
            return failure.expected("credentials of every kind").received(&found).into();
        }
        let identity = match expires_at {
            Some(at) if first.expires_at() != Some(at) => first.with_expires_at(at),
            _ => first,
        };
        let identity = match identities.len() {
            0 => identity,
            _ => identity.with_also(identities),
        };
        Outcome::Identified { identity, cached: self.all_cached }
    }
}

fn headers(authenticators: &[Authenticator]) -> Vec<HeaderName> {
    authenticators.iter().flat_map(Authenticate::headers).collect()
}

fn schemes(authenticators: &[Authenticator]) -> Vec<&'static str> {
    authenticators.iter().flat_map(Authenticate::schemes).collect()
}

impl Authenticate for AnyOf {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        ask(&self.authenticators, First { or_else_if_bad: self.or_else_if_bad, bad: None }, call)
    }

    fn headers(&self) -> Vec<HeaderName> {
        headers(&self.authenticators)
    }

    fn remove_untrusted(&self, head: &mut request::Parts) {
        for authenticator in &self.authenticators {
            authenticator.remove_untrusted(head);
        }
    }

    fn schemes(&self) -> Vec<&'static str> {
        schemes(&self.authenticators)
    }
}

impl Authenticate for AllOf {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        let none = Every { identities: Vec::new(), all_cached: true, one_absent: false };
        ask(&self.authenticators, none, call)
    }

    fn headers(&self) -> Vec<HeaderName> {
        headers(&self.authenticators)
    }

    fn remove_untrusted(&self, head: &mut request::Parts) {
        for authenticator in &self.authenticators {
            authenticator.remove_untrusted(head);
        }
    }

    fn schemes(&self) -> Vec<&'static str> {
        schemes(&self.authenticators)
    }
}

impl fmt::Debug for AnyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyOf({} kinds)", self.authenticators.len())
    }
}

impl fmt::Debug for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllOf({} kinds)", self.authenticators.len())
    }
}
