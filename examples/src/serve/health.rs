//! The health service: which services are ready.

use std::convert::Infallible;

use tonic::server::NamedService;
use tonic_auth_layer::jwt::Readiness;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::auth::TokenVerifier;
use crate::service::Orders;
use crate::v1::order_service_server::OrderServiceServer;

/// The service that needs the issuer's keys.
const ORDERS: &str = <OrderServiceServer<Orders> as NamedService>::NAME;

/// The server as a whole, and that service.
const ALL: [&str; 2] = ["", ORDERS];

/// Reports the health of the server.
pub(super) struct Health(HealthReporter);

impl Health {
    pub(super) async fn new(reporter: HealthReporter, ready: bool) -> Self {
        let health = Self(reporter);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set(&ALL, status).await;
        health
    }

    /// The server shuts down.
    pub(super) async fn not_serving(&self) {
        self.set(&ALL, ServingStatus::NotServing).await;
    }

    /// Follows the keys of the issuer; never returns.
    ///
    /// The order service is not serving whenever tokens cannot be verified. The server as a whole, which a
    /// Kubernetes probe without a `service` checks, waits only for the first keys, so that a release with a
    /// wrong issuer does not replace a good one. After that it keeps serving: an outage of the issuer affects
    /// every pod at once, and must not remove them all.
    pub(super) async fn follow_keys(
        &self,
        verifier: &TokenVerifier,
        mut readiness: Readiness,
    ) -> Infallible {
        loop {
            if verifier.readiness_changed(&mut readiness).await {
                tracing::info!("ready: the server has the issuer's keys");
                self.set(&ALL, ServingStatus::Serving).await;
            } else {
                tracing::warn!(
                    service = ORDERS,
                    "not ready: the issuer's keys were withdrawn or are too old",
                );
                self.set(&[ORDERS], ServingStatus::NotServing).await;
            }
        }
    }

    async fn set(&self, names: &[&str], status: ServingStatus) {
        for name in names {
            self.0.set_service_status(*name, status).await;
        }
    }
}
