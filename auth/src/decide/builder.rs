//! Builds a layer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::uri::PathAndQuery;
use tonic_call::{MethodTable, Methods, Rpc, UncalledRules};
use tower_layer::Layer;

use super::access::Access;
use super::answers::{Answers, is_quotable};
use super::authenticate::Authenticate;
use super::build_error::BuildError;
use super::decision::{Decision, Hook};
use super::layer::AuthLayer;
use super::secrets::Secrets;
use super::service::Auth;
use super::settings::{Rules, Settings};
use crate::wall_clock::WallClock;

/// Builds an [`AuthLayer`].
#[derive(Clone)]
#[must_use = "call `build()` to get the layer"]
pub struct AuthBuilder {
    authenticator: Arc<dyn Authenticate>,
    rules: Rules,
    /// Every rule, with the name of its method or service.
    all: Vec<(String, Access)>,
    default: Access,
    methods: Option<Methods>,
    every_method_ruled: bool,
    shadow: bool,
    domain: Option<String>,
    realm: Option<String>,
    remove_credentials: bool,
    end_streams: bool,
    clock: WallClock,
    hook: Option<Hook>,
}

impl AuthBuilder {
    pub(crate) fn new(authenticator: Arc<dyn Authenticate>) -> Self {
        let default = Access::authenticated();
        Self {
            authenticator,
            rules: Rules {
                table: MethodTable::new(default.clone()),
                public_health: false,
                public_reflection: false,
            },
            all: Vec::new(),
            default,
            methods: None,
            every_method_ruled: false,
            shadow: false,
            domain: None,
            realm: None,
            remove_credentials: false,
            end_streams: false,
            clock: WallClock::system(),
            hook: None,
        }
    }

    /// Sets the access to one method of a fully qualified service. A second rule for the same method, and an invalid
    /// name, are errors of [`build`](Self::build).
    pub fn method(mut self, service: &str, method: &str, access: Access) -> Self {
        self.all.push((format!("{service}/{method}"), access.clone()));
        self.rules.table = self.rules.table.method(service, method, access);
        self
    }

    /// Sets the access to the methods of a fully qualified service that have no rule of their own. A second rule for
    /// the same service, and an invalid name, are errors of [`build`](Self::build).
    pub fn service(mut self, service: &str, access: Access) -> Self {
        self.all.push((service.to_owned(), access.clone()));
        self.rules.table = self.rules.table.service(service, access);
        self
    }

    /// Sets the access to methods without a rule. Default: [authenticated](Access::authenticated) callers.
    ///
    /// It also applies to methods that do not exist, whose calls end `UNIMPLEMENTED`: if it is public, every caller
    /// gets that answer.
    pub fn default_access(mut self, access: Access) -> Self {
        self.default = access;
        self
    }

    /// Makes the standard health service public, `grpc.health.v1.Health`: Kubernetes probes have no credentials. An
    /// explicit rule for it takes precedence.
    pub fn public_health(mut self) -> Self {
        self.rules.public_health = true;
        self
    }

    /// Makes the standard reflection services public, so every caller can list the methods. An explicit rule for them
    /// takes precedence.
    pub fn public_reflection(mut self) -> Self {
        self.rules.public_reflection = true;
        self
    }

    /// Sets the methods that exist, besides those of the standard health and reflection services. Calls of other
    /// methods end `UNIMPLEMENTED` and do not reach the service, and a rule for another method is an error of
    /// [`build`](Self::build).
    ///
    /// Without it, a misspelt rule can't be detected when the layer is built. One event at `INFO` then names the
    /// rules that matched none of the first 1,000 calls that passed.
    pub fn methods(mut self, methods: &Methods) -> Self {
        self.methods = Some(methods.clone());
        self
    }

    /// Makes it an error of [`build`](Self::build) if a method of [`methods`](Self::methods) has no rule, neither of
    /// its own nor of its service. A new method then never gets the default access by accident.
    pub fn every_method_ruled(mut self) -> Self {
        self.every_method_ruled = true;
        self
    }

    /// Ends a call `UNAUTHENTICATED` when its credentials expire, even if its caller reads nothing. By default,
    /// expiry is checked only when the call starts.
    ///
    /// With [`methods`](Self::methods), calls of unary methods are not ended: they have one message in each
    /// direction. Costs each other call a task and four small allocations.
    pub fn end_streams_at_expiry(mut self) -> Self {
        self.end_streams = true;
        self
    }

    /// Removes the headers with credentials before the handler sees them. They are marked as sensitive in any case.
    pub fn remove_credentials(mut self) -> Self {
        self.remove_credentials = true;
        self
    }

    /// Enables shadow mode: refusals are reported, and the calls pass. A caller with invalid credentials then has
    /// *no* identity. Building such a layer logs a `WARN`. A call still waits for an asynchronous authenticator.
    pub fn shadow(mut self) -> Self {
        self.shadow = true;
        self
    }

    /// Sets the `domain` of the `ErrorInfo` in a refusal, which defines its reasons: for example the name of your
    /// API. Default: `tonic-auth-layer`.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets the `realm` of `www-authenticate`. Default: the [domain](Self::domain).
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets a hook that is called with every decision: for metrics, or an audit trail.
    ///
    /// It runs in the call's own task and must not block. A panic in it is logged and does not change the decision.
    pub fn on_decision(mut self, hook: impl Fn(&Decision<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Sets the clock for the expiry of credentials.
    pub fn with_clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// If a setting is invalid: see [`BuildError`].
    pub fn build(self) -> Result<AuthLayer, BuildError> {
        self.check()?;
        // With a descriptor set, each rule was checked to match a method.
        let uncalled = match &self.methods {
            None => Some(UncalledRules::of(&self.rules.table)),
            Some(_) => None,
        };
        let domain = self.domain.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        let realm = self.realm.unwrap_or_else(|| domain.clone());
        if self.shadow {
            tracing::warn!(target: "tonic_auth_layer", "authentication is in shadow mode: calls that would be refused pass");
        }
        Ok(AuthLayer::with(Settings {
            answers: Answers::new(domain, realm, self.authenticator.schemes()),
            secrets: Secrets::new(self.authenticator.headers()),
            authenticator: self.authenticator,
            rules: self.rules,
            default: self.default,
            methods: self.methods,
            uncalled,
            shadow: self.shadow,
            remove_credentials: self.remove_credentials,
            end_streams: self.end_streams,
            clock: self.clock,
            hook: self.hook,
            health_warned: AtomicBool::new(false),
            preflight_warned: AtomicBool::new(false),
        }))
    }

    fn check(&self) -> Result<(), BuildError> {
        let default = ("every other method".to_owned(), self.default.clone());
        for (of, access) in self.all.iter().chain([&default]) {
            if let Some(requires) = access.fault() {
                return Err(BuildError::Rule { of: of.clone(), requires });
            }
        }
        for text in [&self.domain, &self.realm].into_iter().flatten() {
            if text.is_empty() || !is_quotable(text) {
                return Err(BuildError::Text(text.clone()));
            }
        }
        match &self.methods {
            Some(methods) => {
                self.rules.table.check(methods).map_err(BuildError::NeverMatches)?;
                if self.every_method_ruled { self.all_ruled(methods) } else { Ok(()) }
            }
            None if self.every_method_ruled => Err(BuildError::NoMethods),
            None => self.rules.table.check_names().map_err(BuildError::NeverMatches),
        }
    }

    fn all_ruled(&self, methods: &Methods) -> Result<(), BuildError> {
        let has_rule = |full: &str| {
            let path = PathAndQuery::try_from(format!("/{full}")).ok();
            self.rules.rule(&Rpc::from_path(path)).is_some()
        };
        let names = methods.iter().map(tonic_call::Method::full);
        let not_ruled: Vec<_> = names.filter(|full| !has_rule(full)).map(str::to_owned).collect();
        if not_ruled.is_empty() { Ok(()) } else { Err(BuildError::NotRuled(not_ruled)) }
    }
}

/// Implemented by no service, so that the compiler reports a forgotten [`build`](AuthBuilder::build).
#[diagnostic::on_unimplemented(
    message = "an `AuthBuilder` is not a layer yet: call `.build()?` to get the `AuthLayer`",
    label = "a `.build()?` is missing on an `AuthBuilder`",
    note = "`build` checks the rules, so that a wrong one is an error when the server starts"
)]
pub trait Built {}

impl<S: Built> Layer<S> for AuthBuilder {
    type Service = Auth<S>;

    fn layer(&self, _: S) -> Auth<S> {
        unreachable!("no service is `Built`")
    }
}

impl fmt::Debug for AuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthBuilder")
            .field("rules", &self.all)
            .field("default", &self.default)
            .field("shadow", &self.shadow)
            .finish_non_exhaustive()
    }
}
