//! How a layer is built.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tonic_call::{Methods, TrustedProxies};
use tower_layer::Layer;

use crate::build_error::BuildError;
use crate::caller::Seeds;
use crate::clock::Clock;
use crate::decision::{Decision, Hook};
use crate::fields::is_printable;
use crate::hints::Hints;
use crate::layer::RateLimitLayer;
use crate::limits::{Limits, Rule};
use crate::service::RateLimit;
use crate::settings::Settings;
use crate::table::Table;

/// How many keys each limit remembers, by default.
pub const KEYS_AT_MOST: usize = 100_000;

/// Builds a [`RateLimitLayer`].
#[derive(Clone)]
#[must_use = "call `build()` to get the layer"]
pub struct RateLimitBuilder {
    limits: Limits,
    methods: Option<Methods>,
    keys_at_most: usize,
    include_infrastructure: bool,
    behind: Vec<String>,
    domain: Option<String>,
    fields_on_accepted: bool,
    clock: Option<Clock>,
    hook: Option<Hook>,
}

impl RateLimitBuilder {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            methods: None,
            keys_at_most: KEYS_AT_MOST,
            include_infrastructure: false,
            behind: Vec::new(),
            domain: None,
            fields_on_accepted: false,
            clock: None,
            hook: None,
        }
    }

    /// Limits one method of a fully qualified service, as [`Limits::method`].
    pub fn method(mut self, service: &str, method: &str, rule: impl Into<Rule>) -> Self {
        self.limits = self.limits.method(service, method, rule);
        self
    }

    /// Limits the methods of a fully qualified service that have no rule of their own, as
    /// [`Limits::service`].
    pub fn service(mut self, service: &str, rule: impl Into<Rule>) -> Self {
        self.limits = self.limits.service(service, rule);
        self
    }

    /// Makes a rule for a method or service that is not one of these, nor of the standard health and
    /// reflection services, an error, of [`build`](Self::build) and of [`replace`](crate::Handle::replace).
    ///
    /// Without it a rule whose name is misspelt can't be told from one that nobody needs yet: rules that no
    /// call has matched are named in one event at `INFO` after the first 1,000 calls that passed.
    pub fn methods(mut self, methods: &Methods) -> Self {
        self.methods = Some(methods.clone());
        self
    }

    /// Limits the standard health and reflection services by the default too. By default only rules of their
    /// own do.
    pub fn include_infrastructure(mut self) -> Self {
        self.include_infrastructure = true;
        self
    }

    /// Trusts what proxies in these networks say in `x-forwarded-for`: networks (`10.0.0.0/8`) or
    /// addresses. [`Key::peer`](crate::Key::peer) is then the last address in it that is none of theirs.
    ///
    /// If the call comes from elsewhere, the header is not looked at. If it names no address where a proxy
    /// should have, the address of that proxy counts. By default no proxy is trusted. A text that is neither a
    /// network nor an address is an error of [`build`](Self::build).
    pub fn behind<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.behind.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Remembers so many keys of each limit, at most; by default [`KEYS_AT_MOST`]. Each costs 50 to 100 bytes.
    /// Those for which there is no room share one bucket.
    pub fn keys_at_most(mut self, keys: usize) -> Self {
        self.keys_at_most = keys;
        self
    }

    /// Sets the `domain` of the `ErrorInfo` in a refusal, in which its reasons have their meaning: for
    /// example the name of your API. By default `tonic-ratelimit-layer`.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Tells callers how much they have left also when their calls pass: in the fields `ratelimit-policy` and
    /// `ratelimit` of the answer's head. Costs such a call some allocations.
    pub fn fields_on_accepted(mut self) -> Self {
        self.fields_on_accepted = true;
        self
    }

    /// Is given every decision: to count them, or for an audit trail. One for each call that has a limit,
    /// and before it one for each limit in shadow mode that would have refused it.
    ///
    /// It runs where the call comes in: it must not block. A panic in it changes nothing.
    pub fn on_decision(mut self, hook: impl Fn(&Decision<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Reads the time, in which quotas fill up again, from this clock.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// When something in it is wrong, and would be found only when calls come: see [`BuildError`].
    pub fn build(self) -> Result<RateLimitLayer, BuildError> {
        if self.keys_at_most == 0 {
            return Err(BuildError::NoKeys);
        }
        let domain = self.domain.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        if !is_printable(&domain) {
            return Err(BuildError::Domain(domain));
        }
        let proxies = TrustedProxies::new(&self.behind).map_err(BuildError::Network)?;
        let table = Table::new(&self.limits, self.methods.as_ref(), self.keys_at_most, None)?;
        Ok(RateLimitLayer::with(Settings {
            table: ArcSwap::from_pointee(table),
            replacing: Mutex::new(()),
            methods: self.methods,
            keys_at_most: self.keys_at_most,
            include_infrastructure: self.include_infrastructure,
            proxies,
            domain,
            fields_on_accepted: self.fields_on_accepted,
            clock: self.clock.unwrap_or_default(),
            hook: self.hook,
            seeds: Seeds::default(),
            hints: Hints::default(),
            told_of_preflights: AtomicBool::new(false),
        }))
    }
}

/// What no service is, so that a forgotten [`build`](RateLimitBuilder::build) is an error that says so.
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
