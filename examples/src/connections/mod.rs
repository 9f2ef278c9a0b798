//! Accepts connections and serves HTTP/2 on them: how many, how many streams on each, and how long one may
//! be idle.
//!
//! tonic's own server has neither a limit of connections nor an idle time-out, so this is one of ours, on
//! hyper. One file per step: `accept` takes connections from the listener, `admission` says which one gives way
//! when there are too many, `connection` serves one until it ends, `patience` how long it may be idle,
//! `activity` knows what happens on it, and `call` is one call. Each connection is a task of its own, so that what comes before HTTP (a TLS
//! handshake) does not hold up the others, and is under the same limits.

mod accept;
mod activity;
mod admission;
mod call;
mod connection;
mod counts;
mod monitored;
mod patience;

use std::time::Duration;

pub(crate) use accept::serve;

/// What one server takes.
#[derive(Clone, Debug)]
pub struct Connections {
    at_most: usize,
    streams: u32,
    idle: Duration,
    hello: Duration,
}

/// Connections at a time. A process that may open fewer files has fewer: [`Connections::at_most`].
pub(crate) const AT_MOST: usize = 10_000;

/// Streams on one connection at a time. RFC 9113 §6.5.2 asks for 100 at least; hyper's default is 200.
pub(crate) const STREAMS: u32 = 1_000;

/// How long a connection may have no open stream.
pub(crate) const IDLE: Duration = Duration::from_secs(5 * 60);

/// How long a new connection has until its preface is here.
const HELLO: Duration = Duration::from_secs(10);

impl Default for Connections {
    fn default() -> Self {
        Self { at_most: by_open_files(), streams: STREAMS, idle: IDLE, hello: HELLO }
    }
}

impl Connections {
    /// So many at a time; one at least. When one more comes, those give way that have served no call for the longest
    /// time; if all have calls, the new one is closed. By default 10,000, or as many as the process may open
    /// files, less 32 for all that is not a connection.
    #[must_use]
    pub fn at_most(self, connections: usize) -> Self {
        Self { at_most: connections.max(1), ..self }
    }

    /// So many streams on each at a time; one more is refused (`REFUSED_STREAM`), and clients that have read our settings wait
    /// instead. By default 1,000.
    #[must_use]
    pub fn streams(self, streams: u32) -> Self {
        Self { streams, ..self }
    }

    /// One that has had no stream for so long is closed, with a GOAWAY first; 100 ms at
    /// least. By default 5 minutes.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: idle.max(Duration::from_millis(100)), ..self }
    }

    /// One that has not sent its preface after so long is closed. By default 10 s.
    #[must_use]
    pub fn hello(self, hello: Duration) -> Self {
        Self { hello, ..self }
    }
}

#[cfg(unix)]
fn by_open_files() -> usize {
    /// The database, the log, metrics, and what brings keys and takes spans.
    const OTHERS: u64 = 32;
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OTHERS)).unwrap_or(usize::MAX).clamp(1, AT_MOST)
}

#[cfg(not(unix))]
fn by_open_files() -> usize {
    AT_MOST
}
