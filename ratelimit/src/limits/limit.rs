use std::fmt;

use super::key::Key;

/// A limit of what `M` measures: a [`Quota`](crate::Quota) limits the rate of calls, an
/// [`InFlight`](crate::InFlight) how many calls run at the same time.
#[derive(Clone)]
pub struct Limit<M> {
    pub(crate) measure: M,
    pub(crate) key: Key,
    pub(crate) name: Option<String>,
    pub(crate) shadow: bool,
    pub(crate) per_method: bool,
    pub(crate) scope: Scope,
}

/// Which replicas share a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them, if it is a quota and the layer has a store for it.
    #[default]
    ByLayer,
    #[cfg(feature = "redis")]
    Local,
    #[cfg(feature = "redis")]
    Shared,
}

impl<M> Limit<M> {
    pub(crate) fn of(measure: M) -> Self {
        Self {
            measure,
            key: Key::global(),
            name: None,
            shadow: false,
            per_method: false,
            scope: Scope::ByLayer,
        }
    }

    /// Gives each key a limit of its own. By default all calls share one.
    #[must_use]
    pub fn by(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// Sets the name that callers, logs and the hook see. The default is made of the rate and the key
    /// (`5/s:principal`, `in-flight:principal`). Two limits of one rule cannot have the same name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Makes this a shadow limit: it counts calls and reports what it would refuse, but refuses nothing.
    #[must_use]
    pub fn shadow(self) -> Self {
        Self { shadow: true, ..self }
    }

    /// Gives each method that the rule matches a limit of its own. By default they share one.
    ///
    /// Needs [`methods`](crate::RateLimitBuilder::methods), because callers can invent method names. Calls of
    /// methods that are not in the descriptor set share one limit.
    #[must_use]
    pub fn per_method(self) -> Self {
        Self { per_method: true, ..self }
    }

    /// Keeps this limit in the process, in a layer whose quotas replicas [share](crate::RateLimitBuilder::shared).
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn local(self) -> Self {
        Self { scope: Scope::Local, ..self }
    }

    /// Makes it an error if replicas do not share this limit: a quota of a layer without
    /// [a store](crate::RateLimitBuilder::shared), or an [`InFlight`](crate::InFlight).
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn shared(self) -> Self {
        Self { scope: Scope::Shared, ..self }
    }

    /// The same limit, with a more general type of measure.
    pub(crate) fn general<N: From<M>>(self) -> Limit<N> {
        let Self { measure, key, name, shadow, per_method, scope } = self;
        Limit { measure: measure.into(), key, name, shadow, per_method, scope }
    }
}

impl<M: fmt::Display> Limit<M> {
    pub(crate) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{}:{}", self.measure, self.key.kind()))
    }
}

impl<M: fmt::Debug + fmt::Display> fmt::Debug for Limit<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("name", &self.name())
            .field("measure", &self.measure)
            .field("key", &self.key)
            .field("shadow", &self.shadow)
            .field("per_method", &self.per_method)
            .finish()
    }
}
