//! Builds the layer.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tonic_call::{Methods, TrustedProxies};
use tower_layer::Layer;

use crate::build_error::BuildError;
use crate::clock::Clock;
use crate::decide::{Decision, Hints, Hook, Seeds};
use crate::layer::{RateLimit, RateLimitLayer, Settings};
use crate::limits::{Limits, Rule, Sharing, Table, is_printable};

/// How many keys each limit stores at most, by default.
pub const DEFAULT_MAX_KEYS: usize = 100_000;

/// Builds a [`RateLimitLayer`].
#[derive(Clone)]
#[must_use = "call `build()` to get the layer"]
pub struct RateLimitBuilder {
    limits: Limits,
    methods: Option<Methods>,
    max_keys: usize,
    include_infrastructure: bool,
    behind: Vec<String>,
    domain: Option<String>,
    fields_on_accepted: bool,
    clock: Option<Clock>,
    hook: Option<Hook>,
    #[cfg(feature = "redis")]
    store: Option<crate::shared::RedisStore>,
}

impl RateLimitBuilder {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            methods: None,
            max_keys: DEFAULT_MAX_KEYS,
            include_infrastructure: false,
            behind: Vec::new(),
            domain: None,
            fields_on_accepted: false,
            clock: None,
            hook: None,
            #[cfg(feature = "redis")]
            store: None,
        }
    }

    /// Adds a rule for one method of a fully qualified service, as [`Limits::method`].
    pub fn method(mut self, service: &str, method: &str, rule: impl Into<Rule>) -> Self {
        self.limits = self.limits.method(service, method, rule);
        self
    }

    /// Adds a rule for the methods of a fully qualified service that have no rule of their own, as
    /// [`Limits::service`].
    pub fn service(mut self, service: &str, rule: impl Into<Rule>) -> Self {
        self.limits = self.limits.service(service, rule);
        self
    }

    /// Makes a rule for an unknown method or service an error of [`build`](Self::build) and of
    /// [`replace`](crate::Handle::replace). Known are these methods, and the standard health and reflection services.
    ///
    /// Without it a misspelt rule is only visible in the log: after the first 1,000 calls that passed, one event at
    /// `INFO` names the rules that no call has matched.
    pub fn methods(mut self, methods: &Methods) -> Self {
        self.methods = Some(methods.clone());
        self
    }

    /// Applies the default to the standard health and reflection services too. Without this only rules of their own
    /// limit them.
    pub fn include_infrastructure(mut self) -> Self {
        self.include_infrastructure = true;
        self
    }

    /// Trusts the `x-forwarded-for` of proxies in these networks (`10.0.0.0/8`) or at these addresses.
    /// [`Key::peer`](crate::Key::peer) is then the last address in it that is not of a trusted proxy.
    ///
    /// The header of any other peer is ignored. Where the header has no address that a proxy should have added, the
    /// address of that proxy counts. By default no proxy is trusted. A text that is neither a network nor an address
    /// is an error of [`build`](Self::build).
    pub fn behind<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.behind.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Sets how many keys each limit stores at most; by default [`DEFAULT_MAX_KEYS`]. Each takes 50 to 100 bytes. If
    /// there is no room, new keys share one bucket.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets the `domain` of the `ErrorInfo` in a refusal, for example the name of your API. By default
    /// `tonic-ratelimit-layer`.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Adds the fields `ratelimit-policy` and `ratelimit` to the response head of calls that pass, so that callers
    /// see how many calls they have left. Costs each call a few allocations.
    pub fn fields_on_accepted(mut self) -> Self {
        self.fields_on_accepted = true;
        self
    }

    /// Calls a hook with every decision, for counts or an audit trail: once for each call that has a limit, and
    /// before that once for each shadow limit that would have refused it.
    ///
    /// It runs in the call's own task and must not block. A panic in it is logged at `ERROR` and does not change the
    /// decision.
    pub fn on_decision(mut self, hook: impl Fn(&Decision<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Keeps all quotas in Redis, so that replicas with the same limits and the same prefix share them; those that
    /// are [local](crate::Limit::local) and all [`InFlight`](crate::InFlight) stay in the process. See
    /// [`redis`](crate::redis).
    #[cfg(feature = "redis")]
    pub fn shared(mut self, store: crate::RedisStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Replaces the clock by which quotas are refilled.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If a limit or a setting is wrong: see [`BuildError`].
    pub fn build(self) -> Result<RateLimitLayer, BuildError> {
        if self.max_keys == 0 {
            return Err(BuildError::NoKeys);
        }
        let domain = self.domain.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        if !is_printable(&domain) {
            return Err(BuildError::Domain(domain));
        }
        let proxies = TrustedProxies::new(&self.behind).map_err(BuildError::Network)?;
        #[cfg(feature = "redis")]
        let sharing = Sharing::of(self.store.as_ref());
        #[cfg(not(feature = "redis"))]
        let sharing = Sharing::default();
        let table = Table::new(&self.limits, self.methods.as_ref(), self.max_keys, sharing, None)?;
        Ok(RateLimitLayer::with(Settings {
            table: ArcSwap::from_pointee(table),
            replacing: Mutex::new(()),
            methods: self.methods,
            max_keys: self.max_keys,
            include_infrastructure: self.include_infrastructure,
            proxies,
            domain,
            fields_on_accepted: self.fields_on_accepted,
            clock: self.clock.unwrap_or_default(),
            hook: self.hook,
            #[cfg(feature = "redis")]
            store: self.store,
            seeds: Seeds::default(),
            hints: Hints::default(),
            warned_of_preflights: AtomicBool::new(false),
        }))
    }
}

/// Implemented by no service, so that a forgotten [`build`](RateLimitBuilder::build) is a clear compile error.
#[diagnostic::on_unimplemented(
    message = "a `RateLimitBuilder` is not a layer yet: call `.build()?` to get the `RateLimitLayer`",
    label = "a `.build()?` is missing on a `RateLimitBuilder`",
    note = "`build` checks the limits, so that a wrong one is an error when the server starts"
)]
pub trait Built {}

impl<S: Built> Layer<S> for RateLimitBuilder {
    type Service = RateLimit<S>;

    fn layer(&self, _: S) -> RateLimit<S> {
        unreachable!("no service is `Built`")
    }
}

impl fmt::Debug for RateLimitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
