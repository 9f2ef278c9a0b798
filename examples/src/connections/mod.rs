//! Accepts connections and serves HTTP/2 and HTTP/1.1 on them, with limits and timeouts.
//!
//! tonic's server limits neither the number of connections nor their idle time, so this one is built on hyper:
//! `accept` accepts connections, `admission` closes idle ones when there are too many, `connection` serves one
//! until it ends, with one of the `protocols`, `timeouts` says when it has been idle for too long, `activity` records what happens on it,
//! and `call` is one call. Each connection is a task of its own, so that what precedes HTTP (`handshake`, with
//! TLS) does not delay the others, and has the same limits.

mod accept;
mod activity;
mod admission;
mod call;
mod connection;
mod handshake;
mod metrics;
mod monitored_io;
mod protocols;
mod timeouts;

use std::time::Duration;

use tonic_tls_reload::ConnectionAge;

pub(crate) use accept::serve;
use metrics::ConnectionMetrics;

/// Limits and timeouts of a server's connections.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    max_connections: usize,
    max_streams: u32,
    max_reset_streams: u32,
    max_header_bytes: u32,
    http1: bool,
    idle_timeout: Duration,
    preface_timeout: Duration,
    age: Option<ConnectionAge>,
    metrics: ConnectionMetrics,
}

/// Default of [`ConnectionLimits::max_connections`] for a process that may open enough files.
pub(crate) const MAX_CONNECTIONS: usize = 10_000;

/// Default of [`ConnectionLimits::max_streams`]. RFC 9113 §6.5.2 recommends at least 100; hyper's default is 200.
pub(crate) const MAX_STREAMS: u32 = 1_000;

/// Default of [`ConnectionLimits::max_reset_streams`]. h2's default of 20 closes the connection, and its other calls with
/// it, after a burst of cancelled calls.
pub(crate) const MAX_RESET_STREAMS: u32 = 1_000;

/// Default of [`ConnectionLimits::max_header_bytes`], which is hyper's.
pub(crate) const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Default of [`ConnectionLimits::idle_timeout`].
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Default of [`ConnectionLimits::preface_timeout`].
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: max_by_open_files(),
            max_streams: MAX_STREAMS,
            max_reset_streams: MAX_RESET_STREAMS,
            max_header_bytes: MAX_HEADER_BYTES,
            http1: false,
            idle_timeout: IDLE_TIMEOUT,
            preface_timeout: PREFACE_TIMEOUT,
            age: None,
            metrics: ConnectionMetrics::Counted,
        }
    }
}

impl ConnectionLimits {
    /// Maximum number of connections, at least 1. When a further client connects, the connections that have been
    /// without a call for the longest time are closed; if every connection has a call, the new one is closed. The
    /// default is 10,000, or the process's limit of open files minus 32 if that is lower.
    #[must_use]
    pub fn max_connections(self, max: usize) -> Self {
        Self { max_connections: max.max(1), ..self }
    }

    /// Maximum number of concurrent streams per connection. Clients queue further calls; one that does not is
    /// refused (`REFUSED_STREAM`). The default is 1,000.
    #[must_use]
    pub fn max_streams(self, max: u32) -> Self {
        Self { max_streams: max, ..self }
    }

    /// Maximum number of streams per connection that were reset before they were accepted; one more closes the
    /// connection (`ENHANCE_YOUR_CALM`). The default is 1,000.
    #[must_use]
    pub fn max_reset_streams(self, max: u32) -> Self {
        Self { max_reset_streams: max, ..self }
    }

    /// Maximum size of the header list of a request, as RFC 9113 §6.5.2 counts it. A larger one is answered with the HTTP
    /// status 431. The default is 16 KiB.
    #[must_use]
    pub fn max_header_bytes(self, max: u32) -> Self {
        Self { max_header_bytes: max, ..self }
    }

    /// How long a connection may have no stream before it is closed with a GOAWAY, at least 100 ms. The default is
    /// 5 minutes.
    #[must_use]
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: timeout.max(Duration::from_millis(100)), ..self }
    }

    /// How long a new connection may take to send its HTTP/2 preface, or as many bytes of an HTTP/1.1 request, before
    /// it is closed, a TLS handshake included. The default is 10 s.
    #[must_use]
    pub fn preface_timeout(self, timeout: Duration) -> Self {
        Self { preface_timeout: timeout, ..self }
    }

    /// The age at which a connection gets a GOAWAY, 10 % more or less: it accepts no further calls, and closes after
    /// its last one. By default connections have no such age.
    #[must_use]
    pub fn age(self, age: Option<Duration>) -> Self {
        Self { age: age.map(ConnectionAge::after), ..self }
    }

    /// Accepts HTTP/1.1 as well: one call at a time per connection, and no gRPC.
    #[must_use]
    pub(crate) fn accept_http1(self) -> Self {
        Self { http1: true, ..self }
    }

    /// Does not count the connections in the metrics, which are those of one listener.
    #[must_use]
    pub(crate) fn uncounted(self) -> Self {
        Self { metrics: ConnectionMetrics::Uncounted, ..self }
    }
}

#[cfg(unix)]
fn max_by_open_files() -> usize {
    /// Files that are not connections: database, log, metrics, key sets, spans.
    const OTHERS: u64 = 32;
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OTHERS)).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS)
}

#[cfg(not(unix))]
fn max_by_open_files() -> usize {
    MAX_CONNECTIONS
}
