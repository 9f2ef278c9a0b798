//! Reports handshakes that fail.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic_tls_reload::HandshakeFailure;

use super::metrics;

/// Minimum interval of warnings about failures of the same kind, so that clients cannot fill the log.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// When each kind of failure was last logged as a warning.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<HandshakeFailure, Instant>>);

impl Failures {
    /// Counts a failure and logs it: as a warning once in a while, since one of our own clients may have a wrong
    /// certificate or CA, otherwise for debugging.
    pub(super) fn report(
        &self,
        peer: Option<SocketAddr>,
        failure: HandshakeFailure,
        error: &dyn Display,
    ) {
        metrics::failed(failure);
        let peer = peer.map(tracing::field::display);
        let reason = failure.as_str();
        if self.is_due(failure) {
            tracing::warn!(peer, reason, %error, "a TLS handshake failed; for this reason, one a minute is logged");
        } else {
            tracing::debug!(peer, reason, %error, "a TLS handshake failed");
        }
    }

    fn is_due(&self, failure: HandshakeFailure) -> bool {
        // Probes of load balancers and port scans connect, and close the connection.
        if failure == HandshakeFailure::Connection {
            return false;
        }
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = warned.get(&failure).is_none_or(|at| now - *at >= WARN_INTERVAL);
        if due {
            warned.insert(failure, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_failure_is_a_warning_once_a_minute() {
        let failures = Failures::default();
        assert!(failures.is_due(HandshakeFailure::Certificate));
        assert!(!failures.is_due(HandshakeFailure::Certificate));
        assert!(failures.is_due(HandshakeFailure::Timeout));
        assert!(!failures.is_due(HandshakeFailure::Connection));
        tokio::time::advance(WARN_INTERVAL).await;
        assert!(failures.is_due(HandshakeFailure::Certificate));
    }
}
