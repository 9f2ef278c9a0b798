use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use super::event::OnReload;

/// What servers and clients set alike.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) interval: Duration,
    pub(crate) on_reload: OnReload,
    pub(crate) time: Arc<dyn TimeProvider>,
    pub(crate) provider: Option<Arc<CryptoProvider>>,
}

/// How often the files are read. Kubernetes itself takes up to a minute to replace them.
const INTERVAL: Duration = Duration::from_secs(10);

/// Reading more often than this costs and gains nothing.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

impl Settings {
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval.max(SHORTEST_INTERVAL);
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.time.current_time().unwrap_or_else(UnixTime::now)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            on_reload: OnReload::default(),
            time: Arc::new(DefaultTimeProvider),
            provider: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("interval", &self.interval).finish_non_exhaustive()
    }
}
