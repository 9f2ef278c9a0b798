use std::sync::Arc;

use hyper::rt;
use tokio::sync::{Notify, mpsc, watch};
use tonic::transport::Endpoint;
use tonic_call::{BoxError, MethodTable, ReplayBudget};
use tower_service::Service;

use crate::call::{Connections, Waiting};
use crate::connect::{BoxConnector, Dialer, SocketConnector, box_connector};
use crate::discover::Source;
use crate::manager::{Manager, UPDATES};
use crate::random::Random;
use crate::slots::SlotSettings;
use crate::snapshot::Snapshot;
use crate::state::{Hooks, StateChange};
use crate::task::{AbortOnDrop, ConnectSettings};
use crate::{Address, Balanced, Policy};

/// The settings of a [`Balanced`].
#[derive(Debug)]
#[must_use = "nothing is connected before `build()`"]
pub struct BalancedBuilder {
    endpoint: Endpoint,
    source: Source,
    policy: Policy,
    connector: BoxConnector,
    health: Option<Arc<str>>,
    waiting: Waiting,
    hooks: Hooks,
    random: Random,
}

impl BalancedBuilder {
    pub(crate) fn new(endpoint: Endpoint, source: Source) -> Self {
        let connector = box_connector(SocketConnector::new(&endpoint));
        Self {
            endpoint,
            source,
            policy: Policy::default(),
            connector,
            health: None,
            waiting: Waiting { methods: MethodTable::new(None), default: false },
            hooks: Hooks::default(),
            random: Random::default(),
        }
    }

    /// Which of the ready addresses gets a call: [`Policy::RoundRobin`] by default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Connects by a connector of your own, instead of by a [`SocketConnector`]. Then it is the connector that must
    /// detect dead peers, unless a `SocketConnector` is below it. An error or a panic of it is a failed attempt.
    /// `Endpoint::connect_timeout` includes its time.
    ///
    /// If it does TLS, the scheme of the endpoint's URI must be `http`, as for tonic's own channel: with `https` tonic
    /// adds its TLS above.
    pub fn connector<C>(mut self, connector: C) -> Self
    where
        C: Service<Address> + Clone + Send + Sync + 'static,
        C::Response: rt::Read + rt::Write + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
    {
        self.connector = box_connector(connector);
        self
    }

    /// Uses an address only while its server's health service (`grpc.health.v1.Health/Watch`) reports this service as
    /// `SERVING` (gRFC A17); an empty name stands for the whole server. A server without a health service is used as if
    /// there were no checks, and a WARN event reports it. `healthCheckConfig.serviceName` in a gRPC service config has
    /// this name.
    ///
    /// With any other health the address is in [`TransientFailure`](crate::State::TransientFailure); its running calls
    /// go on. The server has 20 s for its first answer. A watch that ends is begun again, with the pauses of attempts
    /// to connect.
    ///
    /// As in other gRPC clients, [`Policy::PickFirst`] makes no checks.
    pub fn health_check(mut self, service: impl Into<Arc<str>>) -> Self {
        self.health = Some(service.into());
        self
    }

    /// Whether calls wait for a connection that have no [`WaitForReady`](crate::WaitForReady) extension, and no
    /// `waitForReady` in the [service config](Self::service_config). By default they fail as soon as each address has
    /// failed.
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.waiting.default = wait;
        self
    }

    /// Takes the policy, the [health check](Self::health_check) and `waitForReady` of methods from a gRPC service
    /// config. What the config does not say stays as it was; of two settings of the same, the later one counts.
    #[cfg(feature = "service-config")]
    #[cfg_attr(docsrs, doc(cfg(feature = "service-config")))]
    pub fn service_config(mut self, config: &tonic_call::ServiceConfig) -> Self {
        if let Some(policy) = config.load_balancing() {
            self.policy = policy.into();
        }
        if let Some(service) = config.health_check() {
            self.health = Some(service.into());
        }
        self.waiting.methods = config.wait_for_ready();
        self
    }

    /// Calls this function at each change of an address's state. It must not block; a panic of it is ignored.
    pub fn on_state(mut self, hook: impl Fn(&StateChange<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.state = Some(Arc::new(hook));
        self
    }

    /// Calls this function with the address of each attempt to send a call. It must not block; a panic of it is
    /// ignored.
    pub fn on_pick(mut self, hook: impl Fn(&Address) + Send + Sync + 'static) -> Self {
        self.hooks.pick = Some(Arc::new(hook));
        self
    }

    /// Takes random numbers, from 0 up to but not including 1, from this function: for the times between attempts to
    /// connect, and for the turn of a new address. The default is seeded by the operating system.
    pub fn random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.random = Random::new(random);
        self
    }

    /// Begins to connect.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(self) -> Balanced {
        let (sender, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let (updates, received) = mpsc::channel(UPDATES);
        let again = Arc::new(Notify::new());
        let settings = SlotSettings {
            target: self.endpoint.uri().authority().map_or("", |target| target.as_str()).into(),
            connect: ConnectSettings {
                dialer: Arc::new(Dialer::new(self.endpoint, self.connector)),
                // A17: not with `pick_first`.
                health: self.health.filter(|_| self.policy == Policy::RoundRobin),
                random: self.random,
            },
            policy: self.policy,
            hooks: self.hooks.clone(),
        };
        let discovery = tokio::spawn(self.source.run(updates, Arc::clone(&again)));
        let discovery = AbortOnDrop::new(&discovery);
        let manager = Manager::new(settings, received, again, sender);
        tokio::spawn(async move {
            let _discovery = discovery;
            manager.run().await;
        });
        Balanced(Arc::new(Connections {
            snapshots,
            hooks: self.hooks,
            waiting: self.waiting,
            budget: ReplayBudget::default(),
        }))
    }
}
