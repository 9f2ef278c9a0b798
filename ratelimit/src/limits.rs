use std::fmt;

use crate::in_flight::InFlight;
use crate::quota::Quota;

/// What limits the calls of one method, or of several: [quotas](Quota), limits of calls
/// [in flight](InFlight), or both. A call takes from all of them, or, if one says no, from none.
///
/// Made of a quota, of an [`InFlight`], or of several:
///
/// ```
/// use tonic_ratelimit_layer::{InFlight, Key, Quota, Rule};
///
/// let one: Rule = Quota::per_second(5).into();
/// let two: Rule = [Quota::per_second(5).by(Key::principal()), Quota::per_second(50)].into();
/// let both: Rule = (Quota::per_second(5), InFlight::new(10)).into();
/// let built = Rule::unlimited().and(Quota::per_second(5)).and(InFlight::new(10));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub(crate) limits: Vec<Described>,
}

/// One limit, as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    Quota(Quota),
    InFlight(InFlight),
}

/// Which calls a server takes: a [`Rule`] per method, per service, and by default.
///
/// The most exact rule alone counts: that of the method, then that of the service, then the default. A
/// rule has its own counts: calls of the methods that it is for share them.
///
/// Health and reflection services are not limited by default; a rule of their own counts, and so does the
/// default [if asked for](crate::RateLimitBuilder::include_infrastructure).
///
/// ```
/// use tonic_ratelimit_layer::{Key, Limits, Quota, Rule};
///
/// let limits = Limits::of(Quota::per_second(100).by(Key::principal()))
///     .service("orders.v1.Admin", Quota::per_minute(10))
///     .method("orders.v1.OrderService", "CreateOrder", Quota::per_second(5).by(Key::principal()))
///     .method("orders.v1.OrderService", "Ping", Rule::unlimited());
///
/// // Without a default: only these are limited.
/// let few = Limits::none().service("orders.v1.Admin", Quota::per_minute(10));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub(crate) default: Rule,
    pub(crate) rules: Vec<(Place, Rule)>,
}

/// What a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Default,
    Service(String),
    Method(String, String),
}

impl Rule {
    /// No limit.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Adds the limits of another.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.limits.append(&mut more.into().limits);
        self
    }
}

impl From<Quota> for Rule {
    fn from(quota: Quota) -> Self {
        Self { limits: vec![Described::Quota(quota)] }
    }
}

impl From<InFlight> for Rule {
    fn from(in_flight: InFlight) -> Self {
        Self { limits: vec![Described::InFlight(in_flight)] }
    }
}

impl<T: Into<Self>> FromIterator<T> for Rule {
    fn from_iter<I: IntoIterator<Item = T>>(limits: I) -> Self {
        limits.into_iter().fold(Self::unlimited(), Self::and)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Rule {
    fn from(limits: Vec<T>) -> Self {
        limits.into_iter().collect()
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Rule {
    fn from(limits: [T; N]) -> Self {
        limits.into_iter().collect()
    }
}

impl<A: Into<Self>, B: Into<Self>> From<(A, B)> for Rule {
    fn from((one, other): (A, B)) -> Self {
        one.into().and(other)
    }
}

impl Limits {
    /// No limits, of any method.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Limits all methods that have no rule of their own, nor one of their service, together.
    #[must_use]
    pub fn of(default: impl Into<Rule>) -> Self {
        Self { default: default.into(), rules: Vec::new() }
    }

    /// Limits one method of a fully qualified service. Two rules for the same method are an error where the
    /// limits are used: several limits of one method are one [`Rule`].
    #[must_use]
    pub fn method(mut self, service: &str, method: &str, rule: impl Into<Rule>) -> Self {
        self.rules.push((Place::Method(service.to_owned(), method.to_owned()), rule.into()));
        self
    }

    /// Limits the methods of a fully qualified service that have no rule of their own, together. Two rules
    /// for the same service are an error where the limits are used: several limits are one [`Rule`].
    #[must_use]
    pub fn service(mut self, service: &str, rule: impl Into<Rule>) -> Self {
        self.rules.push((Place::Service(service.to_owned()), rule.into()));
        self
    }
}

/// As [`Limits::of`].
impl<R: Into<Rule>> From<R> for Limits {
    fn from(default: R) -> Self {
        Self::of(default)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("every other method"),
            Self::Service(service) => f.write_str(service),
            Self::Method(service, method) => write!(f, "{service}/{method}"),
        }
    }
}
