//! The health service: which services are ready.

use std::convert::Infallible;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_auth_layer::jwt::Readiness;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::auth::TokenVerifier;
use crate::connections::{self, ConnectionLimits};
use crate::service::Orders;
use crate::v1::order_service_server::OrderServiceServer;

/// The service that needs the issuer's keys.
const ORDERS: &str = <OrderServiceServer<Orders> as NamedService>::NAME;

/// That service, and the server as a whole: it is serving last.
const ALL: [&str; 2] = [ORDERS, ""];

/// Maximum number of connections to the listener of [`Health::serve_on`]. Of more, the oldest ones are closed.
const MAX_CONNECTIONS: usize = 100;

/// Reports the health of the server.
#[derive(Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Nothing is serving yet.
    pub async fn starting() -> Self {
        let health = Self(HealthReporter::new());
        health.set(&ALL, ServingStatus::NotServing).await;
        health
    }

    /// The service.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
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

    /// The server serves calls.
    pub(super) async fn serving(&self) {
        self.set(&ALL, ServingStatus::Serving).await;
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
