use std::sync::LazyLock;

use tokio::runtime::{Builder, EnterGuard, Runtime};
use tonic_call::ObserveLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::configured::{
    logging, metrics, metrics_and_logging, observe, tonic_prometheus, tonic_tracing_opentelemetry,
    trace, tracing,
};
use crate::deadlines::timed;
use crate::identities::identified;
use crate::limits::limited;
use crate::listener::Listener;
use crate::many::many;
use crate::nothing::Nothing;
use crate::retries::retried;
use crate::spans::SampledLayer;
use crate::subject::Subject;
use crate::tokens::Issuer;

/// The runtime for the upkeep of recorders, and for timers, next to the calls.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime")
});

/// Enters the runtime that calls with deadlines need.
pub fn enter_runtime() -> EnterGuard<'static> {
    RUNTIME.enter()
}

/// The bare service first, then each layer followed by its alternative. The selection depends on the
/// subscriber.
pub fn subjects(listener: Listener) -> Vec<Subject> {
    let _inside = enter_runtime();
    match listener {
        Listener::Nobody => unheard(),
        Listener::Json => heard(),
        Listener::Spans => spans(),
    }
}

fn unheard() -> Vec<Subject> {
    let three = ServiceBuilder::new().layer(observe()).layer(observe()).layer(observe());
    vec![
        Subject::alone(),
        Subject::new("observer, not interested", ObserveLayer::server(None::<Nothing>)),
        Subject::new("1 observer", observe()),
        Subject::new("3 observers", three.into_inner()),
        Subject::new("3 observers in one", ObserveLayer::server((Nothing, (Nothing, Nothing)))),
        Subject::new("recovery", RecoveryLayer::server()),
        Subject::new("tower-http catch-panic", CatchPanicLayer::new()),
        Subject::new("metrics", metrics()),
        Subject::new("metrics of 100 methods", metrics().methods(&many(100))),
        Subject::new("metrics of 1000 methods", metrics().methods(&many(1_000))),
        Subject::new("metrics, message bytes", metrics().message_bytes()),
        Subject::new("tonic_prometheus_layer", tonic_prometheus()),
        Subject::new("logging", logging()),
        Subject::new("tower-http trace", trace()),
    ]
    .into_iter()
    .chain(authenticated())
    .chain(identified())
    .chain(limited())
    .chain(timed())
    .chain(retried())
    .collect()
}

/// Subjects that verify the bearer token of each call.
fn authenticated() -> impl Iterator<Item = Subject> {
    const NAMES: [[&str; 4]; 4] = [
        [
            "auth HS256, warm",
            "auth HS256, cold",
            "auth by jsonwebtoken HS256, cold",
            "jsonwebtoken HS256",
        ],
        [
            "auth RS256, warm",
            "auth RS256, cold",
            "auth by jsonwebtoken RS256, cold",
            "jsonwebtoken RS256",
        ],
        [
            "auth ES256, warm",
            "auth ES256, cold",
            "auth by jsonwebtoken ES256, cold",
            "jsonwebtoken ES256",
        ],
        [
            "auth EdDSA, warm",
            "auth EdDSA, cold",
            "auth by jsonwebtoken EdDSA, cold",
            "jsonwebtoken EdDSA",
        ],
    ];
    Issuer::all().into_iter().zip(NAMES).flat_map(|(issuer, [warm, cold, foreign, peer])| {
        let authorization = issuer.authorization("ann");
        [
            Subject::new(warm, issuer.layer(10_000)),
            Subject::new(cold, issuer.layer(0)),
            Subject::new(foreign, issuer.layer_by_jsonwebtoken()),
            Subject::new(peer, issuer.interceptor()),
        ]
        .map(|subject| subject.authorized(authorization.clone()))
    })
}

fn heard() -> Vec<Subject> {
    let two = ServiceBuilder::new().layer(metrics()).layer(logging());
    let peers = ServiceBuilder::new().layer(tonic_prometheus()).layer(trace());
    vec![
        Subject::alone(),
        Subject::new("logging", logging()),
        Subject::new("logging, no handler span", logging().handler_span(false)),
        Subject::new("logging, sampled out", logging().sample_successes(0.0)),
        Subject::new("tower-http trace", trace()),
        Subject::new("metrics, logging", two.into_inner()),
        Subject::new("metrics, logging in one", metrics_and_logging()),
        Subject::new("their two peers", peers.into_inner()),
    ]
}

fn spans() -> Vec<Subject> {
    let around = |sampled| ServiceBuilder::new().layer(SampledLayer(sampled));
    let peer = tonic_tracing_opentelemetry;
    vec![
        Subject::alone(),
        Subject::new("tracing", around(true).layer(tracing()).into_inner()),
        Subject::new("tracing, unsampled", around(false).layer(tracing()).into_inner()),
        Subject::new("tracing, filtered", tracing().filter(|_, _| false)),
        Subject::new("tonic-tracing-opentelemetry", around(true).layer(peer()).into_inner()),
        Subject::new("the same, unsampled", around(false).layer(peer()).into_inner()),
        Subject::new("the same, filtered", peer().filter(|_| false)),
    ]
}
