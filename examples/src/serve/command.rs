//! Starts the server from the flags of the command line.

use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::error::ServeError;
use super::health::Health;
use super::server::{ServerConfig, serve};
use crate::auth::{AuthConfig, Callers, CertificateConfig, how_to_get_a_token};
use crate::cli::{MetricsAddress, ServeArgs};
use crate::drain::{self, Drained};
use crate::service::Orders;
use crate::store::Store;
use crate::tls::{Tls, TlsFiles};
use crate::traces::Traces;
use crate::{limits, metrics};

/// Serves until a signal arrives and the calls that were running have ended.
///
/// When the server is ready, standard output has a line `listening on ADDR`, lines with the addresses of the metrics
/// and of the health service, and with a development key a line with the command that makes a token.
pub async fn run(args: ServeArgs, traces: Option<&Traces>) -> Result<(), ServeError> {
    let signals = if args.stop_at_eof { drain::signals_or_eof() } else { drain::signals() };
    let mut signals = signals.map_err(ServeError::Signals)?;
    let (faults, auth, max_lifetime) = (args.faults(), args.auth(), args.max_token_lifetime());
    let (certificates, sizes) = (args.certificates(), args.message_sizes());
    let tls = args.tls.files().as_ref().map(TlsFiles::load).transpose().map_err(ServeError::Tls)?;
    let config = ServerConfig {
        limits: args.limits().map_err(ServeError::failed)?,
        limit_file: args.limit_file(),
        redis_ready: args.redis.redis_ready,
        deadlines: args.deadlines().map_err(ServeError::failed)?,
        connections: args.connections(),
        tls: tls.clone(),
        drain: args.drain().map_err(ServeError::failed)?,
        metrics: !matches!(args.metrics, MetricsAddress::Off),
        cors: args.cors.clone(),
        web: args.web,
    };

    let listening = listen(&args.listen).await;
    let (address, listener) = listening.map_err(|e| ServeError::Listen(args.listen, e))?;
    let is_open = auth == AuthConfig::Off && !certificates.is_required();
    if is_open && !address.ip().is_loopback() {
        return Err(ServeError::AuthOff(address));
    }
    let metrics = match args.metrics {
        MetricsAddress::At(address) => {
            let tls = tls.filter(|_| args.tls.metrics_tls);
            let scheme = if tls.is_some() { "https" } else { "http" };
            Some(format!("{scheme}://{}/metrics", serve_metrics(address, tls).await?))
        }
        MetricsAddress::Off => None,
    };
    let health = Health::starting().await;
    let health_address = match args.health {
        Some(address) => Some(serve_health(address, &health).await?),
        None => None,
    };
    let store = tokio::select! {
        biased;
        Some(signal) = signals.recv() => {
            tracing::info!(?signal, "stopped before the database was open");
            return Ok(());
        }
        store = Store::open(&args.db) => store.map_err(ServeError::Open)?,
    };

    let callers = match Callers::new(&auth, &certificates, max_lifetime, &args.behind) {
        Ok(callers) => callers,
        Err(error) => {
            store.close().await;
            return Err(ServeError::Auth(error));
        }
    };
    announce(address, metrics, health_address, &auth, &certificates);
    args.configuration.log();

    let orders = Orders::new(store, faults).sizes(sizes);
    match serve(listener, orders, health, callers, config, signals, traces).await? {
        Drained::Complete | Drained::TimedOut => Ok(()),
        Drained::Forced => Err(ServeError::Forced),
    }
}

async fn listen(address: &str) -> io::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(address).await?;
    Ok((listener.local_addr()?, listener))
}

async fn serve_metrics(address: String, tls: Option<Tls>) -> Result<SocketAddr, ServeError> {
    let listening = listen(&address).await;
    let (bound, listener) = listening.map_err(|e| ServeError::Metrics(address, e))?;
    metrics::serve(
        metrics::install(limits::set_buckets).map_err(ServeError::failed)?,
        listener,
        tls,
    );
    Ok(bound)
}

async fn serve_health(address: String, health: &Health) -> Result<SocketAddr, ServeError> {
    let listening = listen(&address).await;
    let (bound, listener) = listening.map_err(|e| ServeError::Health(address, e))?;
    health.serve_on(listener, bound);
    Ok(bound)
}

/// Prints where the server listens. From here on the listener queues connections.
fn announce(
    address: SocketAddr,
    metrics: Option<String>,
    health: Option<SocketAddr>,
    auth: &AuthConfig,
    certificates: &CertificateConfig,
) {
    let mut text = format!("listening on {address}\n");
    if let Some(url) = metrics {
        text += &format!("metrics on {url}\n");
    }
    if let Some(address) = health {
        text += &format!("health on {address}\n");
    }
    match auth {
        AuthConfig::Off if certificates.is_required() => {
            tracing::info!("tokens are not required: callers need an allowed client certificate");
        }
        AuthConfig::Off => {
            tracing::warn!(
                "authentication is off: every process on this machine may call every method"
            );
        }
        AuthConfig::DevKey(key) => {
            text += &how_to_get_a_token(key);
            if !address.ip().is_loopback() {
                tracing::warn!(
                    %address,
                    ?key,
                    "a development key protects an address that other machines can reach"
                );
            }
        }
        AuthConfig::Issuer { .. } => {}
    }
    // If standard output is closed, the server runs all the same.
    let mut out = io::stdout();
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
