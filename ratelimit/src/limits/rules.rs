use std::fmt;
use std::sync::Arc;

use tonic_call::MethodTable;

use super::in_flight::{Concurrency, InFlight};
use super::limit::Limit;
use super::quota::{Quota, Rate};

/// The limits of the calls of one method or of several: [quotas](Quota), limits of calls
/// [in flight](InFlight), or both. A call takes from all of them, or from none if one of them refuses it.
///
/// A quota, an [`InFlight`], or several of them convert into a rule:
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
    pub(crate) limits: Vec<Limit<AnyMeasure>>,
    /// The same for all rules that share their limits.
    pub(crate) pool: Option<Arc<()>>,
}

/// What a limit measures.
#[derive(Clone, Debug)]
pub(crate) enum AnyMeasure {
    Rate(Rate),
    Concurrency(Concurrency),
}

/// A [`Rule`] per method, per service, and by default.
///
/// Only the most specific rule applies to a call: that of the method, else that of the service, else the default.
/// All methods that a rule matches share its limits. Several rules share theirs if they are clones of a
/// [pooled](Rule::pooled) one.
///
/// The default does not apply to the health and reflection services, unless
/// [`include_infrastructure`](crate::RateLimitBuilder::include_infrastructure) is set. A rule of their own does.
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
pub struct Limits(pub(crate) MethodTable<Rule>);

impl Rule {
    /// A rule without limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Adds the limits of another rule. The result shares no limits with other rules.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.limits.append(&mut more.into().limits);
        Self { limits: self.limits, pool: None }
    }

    /// Makes this rule and its clones share their limits: calls of all methods and services that one of them is added
    /// for count together. By default each has limits of its own.
    ///
    /// A caller who changes to the second version of an API then keeps his quota, and does not get another one:
    ///
    /// ```
    /// use tonic_ratelimit_layer::{Key, Limits, Quota, Rule};
    ///
    /// let create = Rule::from(Quota::per_second(5).by(Key::principal())).pooled();
    /// let limits = Limits::none()
    ///     .method("orders.v1.OrderService", "CreateOrder", create.clone())
    ///     .method("orders.v2.OrderService", "CreateOrder", create);
    /// ```
    #[must_use]
    pub fn pooled(self) -> Self {
        Self { pool: Some(Arc::default()), ..self }
    }
}

impl From<Quota> for Rule {
    fn from(quota: Quota) -> Self {
        Self { limits: vec![quota.general()], pool: None }
    }
}

impl From<InFlight> for Rule {
    fn from(in_flight: InFlight) -> Self {
        Self { limits: vec![in_flight.general()], pool: None }
    }
}

impl From<Rate> for AnyMeasure {
    fn from(rate: Rate) -> Self {
        Self::Rate(rate)
    }
}

impl From<Concurrency> for AnyMeasure {
    fn from(concurrency: Concurrency) -> Self {
        Self::Concurrency(concurrency)
    }
}

impl fmt::Display for AnyMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => rate.fmt(f),
            Self::Concurrency(concurrency) => concurrency.fmt(f),
        }
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
    /// No limits for any method.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One rule for all methods that have no rule of their own and none for their service. They share its limits.
    #[must_use]
    pub fn of(default: impl Into<Rule>) -> Self {
        Self(MethodTable::new(default.into()))
    }

    /// Adds a rule for one method of a fully qualified service. Two rules for the same method are an error when the
    /// layer is built: write several limits of one method as one [`Rule`].
    #[must_use]
    pub fn method(self, service: &str, method: &str, rule: impl Into<Rule>) -> Self {
        Self(self.0.method(service, method, rule.into()))
    }

    /// Adds a rule for the methods of a fully qualified service that have no rule of their own. They share its
    /// limits. Two rules for the same service are an error when the layer is built: write several limits as one
    /// [`Rule`].
    #[must_use]
    pub fn service(self, service: &str, rule: impl Into<Rule>) -> Self {
        Self(self.0.service(service, rule.into()))
    }
}

/// As [`Limits::of`].
impl<R: Into<Rule>> From<R> for Limits {
    fn from(default: R) -> Self {
        Self::of(default)
    }
}
