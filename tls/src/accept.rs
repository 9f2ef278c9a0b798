//! Errors of accepting connections.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use tonic_call::BoxError;

/// The pause after an error that concerns every connection, such as too many open files. Without it, accepting again
/// would use a whole core.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Minimum interval of warnings.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Decides what to do after an error of accepting.
#[derive(Debug, Default)]
pub(crate) struct AcceptErrors {
    warned: Option<Instant>,
}

impl AcceptErrors {
    /// Whether to pause before accepting again. Logs a warning then.
    pub(crate) fn must_pause(&mut self, error: &BoxError) -> bool {
        if concerns_one_connection(error) {
            return false;
        }
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            self.warned = Some(Instant::now());
            tracing::warn!(target: "tonic_tls_reload", %error, "cannot accept connections; trying again in {PAUSE:?}");
        }
        true
    }
}

/// Whether the error concerns one connection, whose peer has disappeared.
fn concerns_one_connection(error: &BoxError) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};

    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted))
}
