//! The server: its layers, its services, and its shutdown.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic::service::Routes;
use tonic_auth_layer::jwt::Readiness;
use tonic_call::observe;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::{Labels, MetricsLayer};
use tonic_ratelimit_layer::RedisStore;
use tonic_recovery_layer::RecoveryLayer;
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;

use super::cors::{self, Origin};
use super::error::ServeError;
use super::health::Health;
use crate::auth::{Callers, TokenVerifier, log_certificate};
use crate::connections::{self, ConnectionLimits};
use crate::deadlines::Deadlines;
use crate::drain::{Drain, DrainLayer, Drained, Signal};
use crate::limits::{self, CallLimits, LimitFile};
use crate::service::Orders;
use crate::tls::Tls;
use crate::traces::{self, Traces};
use crate::web::WebLayer;
use crate::{fields, methods};

/// Limits of a server, and its shutdown.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Rate limits and limits of concurrent calls.
    pub limits: CallLimits,
    /// The file that `limits` were read from; SIGHUP reads it again.
    pub limit_file: Option<LimitFile>,
    /// Whether the server is ready only while Redis decides about shared limits.
    pub redis_ready: bool,
    /// Limits of how long calls may take.
    pub deadlines: Deadlines,
    /// Limits of connections.
    pub connections: ConnectionLimits,
    /// TLS of the connections.
    pub tls: Option<Tls>,
    /// Durations of the shutdown.
    pub drain: Drain,
    /// Whether calls are counted, by the installed metrics recorder.
    pub metrics: bool,
    /// Origins of web pages that may call the server from a browser.
    pub cors: Vec<Origin>,
    /// Whether a web page is served at `/`.
    pub web: bool,
}

/// How many refusals per second have a log line, for each method and reason: refused callers must not be able to
/// fill the log.
const MAX_REFUSAL_LINES_PER_SECOND: u32 = 10;

/// How long callers have to receive the status of calls that were ended at the drain limit.
const LAST_STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves `callers` on `listener`, with `health` and reflection, until one of `signals` arrives, and then drains. If
/// callers need a token, health follows the issuer's keys. With `traces`, calls have spans.
///
/// Must run inside a Tokio runtime. After [`Drained::TimedOut`] and [`Drained::Forced`], what has not ended runs
/// until the runtime is dropped.
pub async fn serve(
    listener: TcpListener,
    orders: Orders,
    health: Health,
    callers: Callers,
    config: ServerConfig,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    traces: Option<&Traces>,
) -> Result<Drained, ServeError> {
    let redis = config.limits.redis().cloned();
    // Connects before the first call.
    _ = redis.as_ref().map(RedisStore::ready);
    let redis = redis.filter(|_| config.redis_ready);
    let readiness = callers.tokens().map(TokenVerifier::readiness);
    let methods = methods::served().map_err(ServeError::failed)?;
    let auth = callers.layer(&methods);
    let limits = config.limits.layers(&methods).map_err(ServeError::failed)?;
    let _gauges =
        (limits::gauges(&limits), traces.map(Traces::gauges), config.tls.as_ref().map(Tls::gauges));
    let _reload = (
        config.limit_file.map(|file| file.reload_on_hangup(&limits, &methods)),
        config.tls.as_ref().map(Tls::reload_on_hangup),
    );
    let labels = Labels::new().protocol("protocol").map_err(ServeError::failed)?;
    let metrics = config.metrics.then(|| MetricsLayer::server().methods(&methods).labels(labels));
    let logging = LoggingLayer::server().methods(&methods).fields(fields::KEYS);
    let logging = logging
        .map_err(ServeError::failed)?
        .refusals_per_second(MAX_REFUSAL_LINES_PER_SECOND)
        .request_metadata(fields::METADATA);
    let tracing = traces.map(|traces| traces::server(traces, &methods));
    let observed = observe![tracing, metrics, logging];
    let drain = DrainLayer::new(&methods);
    let services = Routes::new(health.service())
        .add_service(methods::reflection().build_v1().map_err(ServeError::failed)?)
        .add_service(methods::reflection().build_v1alpha().map_err(ServeError::failed)?)
        .add_service(orders.v1())
        .add_service(orders.v2());
    // The order that the README recommends.
    let service = ServiceBuilder::new()
        .layer(WebLayer { is_enabled: config.web })
        .option_layer(cors::layer(config.cors))
        .layer(methods::connect().map_err(ServeError::failed)?)
        .layer(GrpcWebLayer::new())
        .layer(observed.map_err(ServeError::failed)?)
        .layer(RecoveryLayer::server())
        .layer(config.deadlines.layer(&methods))
        .layer(limits.before_auth)
        .layer(auth.map_err(ServeError::failed)?)
        .map_request(log_certificate)
        .layer(limits.in_flight)
        .layer(limits.after_auth)
        .layer(drain.clone())
        .service(services.prepare());
    // After a signal it is not serving, even if the signal came before it was.
    if !readiness.as_ref().is_none_or(Readiness::is_ready) {
        health.wait_for_keys().await;
    }
    if let Some(redis) = &redis {
        health.look_at_redis(redis).await;
    }
    if signals.is_empty() {
        health.open().await;
    }
    let (close, closed) = oneshot::channel::<()>();
    let stop = async { _ = closed.await };
    // A task of its own: it accepts connections while this function waits for signals.
    let connections = config.connections.accept_http1();
    let serving = connections::serve(listener, config.tls, service, connections, stop);
    let mut server = tokio::spawn(serving);

    let follow_keys = async {
        match (callers.tokens(), readiness) {
            (Some(verifier), Some(readiness)) => health.follow_keys(verifier, readiness).await,
            _ => std::future::pending().await,
        }
    };
    let follow_redis = async {
        match &redis {
            Some(redis) => health.follow_redis(redis).await,
            None => std::future::pending().await,
        }
    };
    let signal = tokio::select! {
        Some(signal) = signals.recv() => signal,
        never = follow_keys => match never {},
        never = health.follow_database(orders.store()) => match never {},
        never = follow_redis => match never {},
        ended = &mut server => {
            ended.map_err(ServeError::failed)?;
            return Err(ServeError::failed("it stopped without a signal"));
        }
    };

    let finish = async {
        drain.end_streams();
        _ = close.send(());
        if let Err(error) = (&mut server).await {
            tracing::error!(%error, "the server failed while it was draining");
        }
        orders.close().await;
    };
    let drained = config.drain.run(signal, &mut signals, health.close(), finish).await;
    let reason = match drained {
        Drained::Complete => None,
        Drained::TimedOut => Some("DRAIN_LIMIT"),
        Drained::Forced => Some("SECOND_SIGNAL"),
    };
    if let Some(reason) = reason {
        drain.end_all(reason);
        // `finish` was dropped, and `close` with it: no new connections are accepted.
        _ = tokio::time::timeout(LAST_STATUS_TIMEOUT, &mut server).await;
    }
    Ok(drained)
}
