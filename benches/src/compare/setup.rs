use http::HeaderValue;
use tonic::service::InterceptorLayer;
use tonic_auth_layer::AuthLayer;
use tonic_call::Methods;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_ratelimit_layer::RateLimitLayer;
use tonic_recovery_layer::RecoveryLayer;
use tonic_tracing_layer::TracingLayer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::configured;
use crate::limits::{self, BURST, ByPeer, EACH, Governor};
use crate::tokens::{Interceptor, Issuer};

/// The number of tokens that auth remembers: one is enough here.
const TOKENS: usize = 10_000;
/// The most callers that are measured.
const KEYS: usize = 1_000_000;

/// The layers as a program has them, and the crates that one would use instead.
pub(super) struct Setup {
    methods: Methods,
    issuer: Issuer,
    limits: RateLimitLayer,
    governor: Governor<ByPeer>,
}

impl Setup {
    /// The layers of a service with these methods. Layers that limit calls share their keys.
    pub(super) fn new(methods: Methods) -> Self {
        let limits = limits::built(limits::server(limits::by_peer()).max_keys(KEYS));
        let governor = limits::governor(ByPeer, EACH, BURST);
        Self { methods, issuer: Issuer::hs256(), limits, governor }
    }

    /// The token that each call has.
    pub(super) fn token(&self) -> HeaderValue {
        self.issuer.authorization("ann")
    }

    pub(super) fn tracing(&self) -> TracingLayer {
        configured::tracing().methods(&self.methods)
    }

    pub(super) fn metrics(&self) -> MetricsLayer {
        configured::metrics().methods(&self.methods)
    }

    pub(super) fn logging(&self) -> LoggingLayer {
        configured::logging().methods(&self.methods)
    }

    /// Logging whose lines are its own, and discarded.
    pub(super) fn own_lines(&self) -> LoggingLayer {
        self.logging().lines(std::io::sink)
    }

    pub(super) fn recovery(&self) -> RecoveryLayer {
        RecoveryLayer::server()
    }

    pub(super) fn ratelimit(&self) -> RateLimitLayer {
        self.limits.clone()
    }

    pub(super) fn auth(&self) -> AuthLayer {
        self.issuer.layer(TOKENS)
    }

    pub(super) fn tonic_tracing_opentelemetry(
        &self,
    ) -> tonic_tracing_opentelemetry::middleware::server::OtelGrpcLayer {
        configured::tonic_tracing_opentelemetry()
    }

    pub(super) fn tonic_prometheus(&self) -> tonic_prometheus_layer::MetricsLayer {
        configured::tonic_prometheus()
    }

    pub(super) fn trace(&self) -> configured::Trace {
        configured::trace()
    }

    pub(super) fn catch_panic(
        &self,
    ) -> CatchPanicLayer<tower_http::catch_panic::DefaultResponseForPanic> {
        CatchPanicLayer::new()
    }

    pub(super) fn governor(&self) -> Governor<ByPeer> {
        self.governor.clone()
    }

    pub(super) fn interceptor(&self) -> InterceptorLayer<Interceptor> {
        self.issuer.interceptor()
    }
}
