//! `orders serve`: how the server comes up.

mod cannot_serve;

use std::convert::Infallible;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_auth_layer::jwt::Readiness;
use tonic_call::{Methods, MethodsError, option_layer};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::ServiceBuilder;

use crate::FILE_DESCRIPTOR_SET;
use crate::auth::{Callers, Guard, everybody, how_to_get_a_token};
use crate::cli::{MetricsAddress, ServeArgs};
use crate::connections::{self, Connections};
use crate::drain::{self, Drain, Drained, Signal};
use crate::drain_layer::Calls;
use crate::fields;
use crate::limits::Limits;
use crate::metrics;
use crate::service::Orders;
use crate::store::Store;
use crate::traces::{self, Traces};
use crate::v1::order_service_server::OrderServiceServer;

pub use cannot_serve::CannotServe;

/// What a server takes, and how it goes down.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many calls pass.
    pub limits: Limits,
    /// How many connections.
    pub connections: Connections,
    /// How it goes down.
    pub drain: Drain,
    /// Whether its calls are counted: in the recorder that is installed.
    pub metrics: bool,
}

/// How many refusals for one reason, of one method, have a line of their own: a stranger may be refused as often as
/// he likes, and shall not fill the log with that.
const REFUSALS_PER_SECOND: u32 = 10;

/// How long callers have to hear that their calls were cut off.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves until a signal comes and what was running is done.
///
/// When the server is ready, a line on standard output says `listening on ADDR`, another where the metrics
/// are, and with a development key one more how to get a token.
pub async fn run(args: ServeArgs, traces: Option<&Traces>) -> Result<(), CannotServe> {
    let mut signals = drain::signals().map_err(CannotServe::Signals)?;
    let faults = args.faults();
    let (callers, longest_token) = (args.callers(), args.longest_token());
    let settings = Settings {
        limits: failed(args.limits())?,
        connections: args.connections(),
        drain: failed(args.drain())?,
        metrics: !matches!(args.metrics, MetricsAddress::Off),
    };

    let listening = listen(&args.listen).await;
    let (address, listener) = listening.map_err(|e| CannotServe::Listen(args.listen, e))?;
    if callers == Callers::Anybody && !address.ip().is_loopback() {
        return Err(CannotServe::OpenToAll(address));
    }
    let metrics = match args.metrics {
        MetricsAddress::At(address) => Some(serve_metrics(address).await?),
        MetricsAddress::Off => None,
    };
    let store = tokio::select! {
        biased;
        Some(signal) = signals.recv() => {
            tracing::info!(?signal, "stopped before the database was open");
            return Ok(());
        }
        store = Store::open(&args.db) => store.map_err(CannotServe::Open)?,
    };

    let guard = match callers.guard(longest_token, &args.behind) {
        Ok(guard) => guard,
        Err(error) => {
            store.close().await;
            return Err(CannotServe::Guard(error));
        }
    };

    // Connections wait in the listener from here on, so this is true. If nobody reads it, serve anyway.
    let mut out = std::io::stdout();
    let mut text = format!("listening on {address}\n");
    if let Some(address) = metrics {
        text += &format!("metrics on http://{address}/metrics\n");
    }
    match &callers {
        Callers::Anybody => {
            tracing::warn!("authentication is off: everybody on this machine may call everything");
        }
        Callers::Development(key) => {
            text += &how_to_get_a_token(key);
            if !address.ip().is_loopback() {
                tracing::warn!(%address, ?key, "others are let in by tokens of a development key");
            }
        }
        Callers::Issuer { .. } => {}
    }
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());

    let orders = Orders::new(store, faults);
    match serve(listener, orders, guard, settings, signals, traces).await? {
        Drained::Wholly | Drained::Partly => Ok(()),
        Drained::Hastily => Err(CannotServe::Hastily),
    }
}

async fn listen(address: &str) -> std::io::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address).await?;
    Ok((listener.local_addr()?, listener))
}

async fn serve_metrics(address: String) -> Result<SocketAddr, CannotServe> {
    let listening = listen(&address).await;
    let (at, listener) = listening.map_err(|e| CannotServe::Metrics(address, e))?;
    metrics::serve(failed(metrics::install())?, listener);
    Ok(at)
}

/// Serves on `listener`, with health and reflection, until one of `signals` comes, and then drains. With
/// `guard`, callers need a token, the server is not ready until it can first tell who has a good one, and the
/// service of orders is not while it can't. With `traces`, calls have spans.
///
/// Must run inside a Tokio runtime. When it ends [`Drained::Partly`] or [`Drained::Hastily`], what had not
/// ended still runs until the runtime does not.
pub async fn serve(
    listener: TcpListener,
    orders: Orders,
    guard: Option<Guard>,
    settings: Settings,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    traces: Option<&Traces>,
) -> Result<Drained, CannotServe> {
    let (health, health_server) = tonic_health::server::health_reporter();
    let readiness = guard.as_ref().map(Guard::readiness);
    let ready = readiness.as_ref().is_none_or(Readiness::is_ready);
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    set_health(&health, &NAMES, status).await;

    let (close, closed) = oneshot::channel::<()>();
    let methods = failed(methods())?;
    let calls = Calls::of(&methods);
    let auth = match &guard {
        Some(guard) => failed(guard.layer(&methods))?,
        None => failed(everybody())?,
    };
    let limits = failed(settings.limits.layers(&methods))?;
    let _running = (settings.limits.run(&limits, &methods), traces.map(Traces::gauges));
    let logging = failed(LoggingLayer::server().methods(&methods).fields(fields::KEYS))?;
    let logging = logging.refusals_per_second(REFUSALS_PER_SECOND);
    let services = Routes::new(health_server)
        .add_service(failed(reflection().build_v1())?)
        .add_service(failed(reflection().build_v1alpha())?)
        .add_service(orders.server());
    let metrics = settings.metrics.then(|| MetricsLayer::server().methods(&methods));
    // The order that README gives.
    let service = ServiceBuilder::new()
        .layer(traces::server(traces, &methods))
        .layer(option_layer(metrics))
        .layer(logging.request_metadata(fields::METADATA))
        .layer(RecoveryLayer::server())
        .layer(limits.by_address)
        .layer(auth)
        .layer(limits.in_flight)
        .layer(limits.others)
        .layer(calls.clone())
        .service(services.prepare());
    // In a task of its own: it must go on accepting while this one waits.
    let mut server =
        tokio::spawn(connections::serve(listener, service, settings.connections, async {
            _ = closed.await;
        }));

    let follows_keys = async {
        if let (Some(guard), Some(mut readiness)) = (&guard, readiness) {
            loop {
                let ready = guard.changed(&mut readiness).await;
                keys_changed(&health, ready).await;
            }
        }
        std::future::pending::<Infallible>().await
    };
    let signal = tokio::select! {
        Some(signal) = signals.recv() => signal,
        never = follows_keys => match never {},
        ended = &mut server => {
            failed(ended)?;
            return Err(CannotServe::Failed("it ended by itself".to_owned()));
        }
    };

    let not_ready = set_health(&health, &NAMES, ServingStatus::NotServing);
    let finish = async {
        calls.stop_streams();
        _ = close.send(());
        if let Err(error) = failed((&mut server).await) {
            tracing::error!(%error, "while draining");
        }
        orders.close().await;
    };
    let drained = settings.drain.run(signal, &mut signals, not_ready, finish).await;
    let unfinished = match drained {
        Drained::Wholly => None,
        Drained::Partly => Some("DRAIN_LIMIT"),
        Drained::Hastily => Some("SECOND_SIGNAL"),
    };
    if let Some(reason) = unfinished {
        calls.cut_off(reason);
        // `finish` is gone, and with it the last reason to take new calls.
        _ = tokio::time::timeout(LAST_WORDS, &mut server).await;
    }
    Ok(drained)
}

/// The service that needs to know who calls.
const NEEDS_KEYS: &str = <OrderServiceServer<Orders> as NamedService>::NAME;

/// The whole server, and that service.
const NAMES: [&str; 2] = ["", NEEDS_KEYS];

/// Tokens can be verified, or no longer.
///
/// The service follows its keys both ways. The whole server, which a Kubernetes probe without a `service` asks
/// for, waits for the first keys, so that a release with a wrong issuer does not take the place of a good
/// one; from then on it serves until it drains. What needs no keys is still served, and an issuer's outage,
/// which comes to all pods at once, must not take every one of them away.
async fn keys_changed(health: &HealthReporter, ready: bool) {
    if ready {
        tracing::info!("ready: the keys of the issuer are here");
        set_health(health, &NAMES, ServingStatus::Serving).await;
    } else {
        tracing::warn!(
            service = NEEDS_KEYS,
            "not ready: the keys of the issuer are withdrawn or too old",
        );
        set_health(health, &[NEEDS_KEYS], ServingStatus::NotServing).await;
    }
}

async fn set_health(health: &HealthReporter, names: &[&str], status: ServingStatus) {
    for name in names {
        health.set_service_status(*name, status).await;
    }
}

/// The methods of all services that are served.
pub(crate) fn methods() -> Result<Methods, MethodsError> {
    Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // What the details of a status are: without them `grpcurl` shows them as bytes.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(&WELL_KNOWN)
}

/// What those import: `google/protobuf/any.proto` and others.
static WELL_KNOWN: LazyLock<Vec<u8>> = LazyLock::new(|| DescriptorPool::global().encode_to_vec());

fn failed<T, E: Display>(result: Result<T, E>) -> Result<T, CannotServe> {
    result.map_err(|error| CannotServe::Failed(error.to_string()))
}
