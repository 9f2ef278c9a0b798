//! The health service: which services are ready.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tonic::service::Routes;
use tonic_auth_layer::jwt::Readiness;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_ratelimit_layer::RedisStore;

use crate::auth::TokenVerifier;
use crate::connections::{self, ConnectionLimits};
use crate::service::VERSIONS;
use crate::store::Store;

/// The name that is serving for as long as the process answers at all: for liveness probes. A pod must not be
/// restarted because its database or its issuer is away, or because it drains.
const LIVENESS: &str = "liveness";

/// The time between two probes of the database.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Maximum number of connections to the listener of [`Health::serve_on`]. Of more, the oldest ones are closed.
const MAX_CONNECTIONS: usize = 100;

/// Reports the health of the server.
#[derive(Debug)]
pub struct Health {
    reporter: HealthReporter,
    conditions: Mutex<Conditions>,
}

/// What must hold for calls to be served.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    /// The server accepts calls, and has received no signal.
    is_open: bool,
    /// The issuer's keys are here.
    has_keys: bool,
    /// They have been here before.
    had_keys: bool,
    /// The last probe of the database succeeded.
    has_database: bool,
    /// Redis decides, or the server does not have to wait for that.
    has_redis: bool,
}

impl Conditions {
    /// Whether the server as a whole is serving.
    ///
    /// It waits only for the first keys, so that a release with a wrong issuer does not replace a good one. After
    /// that an outage of the issuer, which affects every pod at once, must not remove them all.
    fn serves(self) -> bool {
        self.is_open && self.had_keys && self.has_database && self.has_redis
    }

    /// Whether the order service is serving.
    fn serves_orders(self) -> bool {
        self.serves() && self.has_keys
    }
}

impl Health {
    /// Nothing is serving yet, except that the process lives.
    pub async fn starting() -> Self {
        let conditions = Conditions {
            is_open: false,
            has_keys: true,
            had_keys: true,
            has_database: true,
            has_redis: true,
        };
        let reporter = HealthReporter::new();
        reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
        for name in VERSIONS.into_iter().chain([""]) {
            reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
        Self { reporter, conditions: Mutex::new(conditions) }
    }

    /// The service.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Serves it on a listener of its own, without TLS and layers, until the runtime ends: a drain does not wait for
    /// its watches.
    pub(super) fn serve_on(&self, listener: TcpListener, address: SocketAddr) {
        let service = Routes::new(self.service()).prepare();
        let limits = ConnectionLimits::default().max_connections(MAX_CONNECTIONS).uncounted();
        let never = std::future::pending();
        tokio::spawn(connections::serve(listener, None, service, limits, never));
        tracing::info!(%address, "serving health in plain text");
    }

    /// The server serves calls from now on.
    pub(super) async fn open(&self) {
        self.change(|conditions| conditions.is_open = true).await;
    }

    /// The server shuts down.
    pub(super) async fn close(&self) {
        self.change(|conditions| conditions.is_open = false).await;
    }

    /// The issuer's keys are not here yet.
    pub(super) async fn wait_for_keys(&self) {
        self.change(|conditions| (conditions.has_keys, conditions.had_keys) = (false, false)).await;
    }

    /// Follows the keys of the issuer; never returns. The order service is not serving whenever tokens cannot be
    /// verified.
    pub(super) async fn follow_keys(
        &self,
        verifier: &TokenVerifier,
        mut readiness: Readiness,
    ) -> Infallible {
        loop {
            if verifier.readiness_changed(&mut readiness).await {
                tracing::info!("ready: the server has the issuer's keys");
                self.change(|conditions| (conditions.has_keys, conditions.had_keys) = (true, true))
                    .await;
            } else {
                for service in VERSIONS {
                    tracing::warn!(
                        service,
                        "not ready: the issuer's keys were withdrawn or are too old",
                    );
                }
                self.change(|conditions| conditions.has_keys = false).await;
            }
        }
    }

    /// Probes the database; never returns. Nothing is serving while a probe fails.
    pub(super) async fn follow_database(&self, store: &Store) -> Infallible {
        let mut has_database = true;
        loop {
            tokio::time::sleep(PROBE_INTERVAL).await;
            let probed = store.probe().await;
            if probed.is_ok() != has_database {
                match &probed {
                    Ok(()) => tracing::info!("ready: the database works again"),
                    Err(error) => tracing::error!(%error, "not ready: the database failed a probe"),
                }
            }
            has_database = probed.is_ok();
            self.change(|conditions| conditions.has_database = has_database).await;
        }
    }

    /// Follows whether Redis decides about shared limits; never returns.
    pub(super) async fn follow_redis(&self, redis: &RedisStore) -> Infallible {
        loop {
            let had_redis = self.look_at_redis(redis).await;
            // A connection that has just broken is not reported: the next one is made at once.
            _ = redis.ready_changed(had_redis).await;
        }
    }

    /// Notes whether Redis decides now.
    pub(super) async fn look_at_redis(&self, redis: &RedisStore) -> bool {
        let has_redis = redis.ready().is_ok();
        self.change(|conditions| conditions.has_redis = has_redis).await;
        has_redis
    }

    /// Changes the conditions, and reports what changes with them: a watch receives each report.
    async fn change(&self, change: impl FnOnce(&mut Conditions)) {
        let mut conditions = self.conditions.lock().await;
        let before = *conditions;
        change(&mut conditions);
        // The server as a whole is serving last.
        let orders = (before.serves_orders(), conditions.serves_orders());
        let server = ("", (before.serves(), conditions.serves()));
        for (name, (served, serves)) in
            VERSIONS.map(|name| (name, orders)).into_iter().chain([server])
        {
            if serves != served {
                let status =
                    if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
                self.reporter.set_service_status(name, status).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_the_issuer_affects_the_service_that_needs_its_keys_and_any_other_affects_both()
    {
        let all = Conditions {
            is_open: true,
            has_keys: true,
            had_keys: true,
            has_database: true,
            has_redis: true,
        };
        for (conditions, orders, server) in [
            (all, true, true),
            (Conditions { has_keys: false, ..all }, false, true),
            (Conditions { has_keys: false, had_keys: false, ..all }, false, false),
            (Conditions { has_database: false, ..all }, false, false),
            (Conditions { has_redis: false, ..all }, false, false),
            (Conditions { is_open: false, ..all }, false, false),
        ] {
            let serves = (conditions.serves_orders(), conditions.serves());
            assert_eq!(serves, (orders, server), "{conditions:?}");
        }
    }
}
