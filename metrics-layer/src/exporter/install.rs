//! Installs the exporter as the program's recorder, or builds a separate one.

use std::sync::{Arc, Mutex, PoisonError};

use metrics_exporter_prometheus::PrometheusRecorder;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::upkeep::start_upkeep;
use super::{InstallError, Prometheus, Scrape};

struct Installed {
    recorder: Arc<PrometheusRecorder>,
    scrape: Scrape,
    settings: Vec<String>,
    upkeep: JoinHandle<()>,
}

static INSTALLED: Mutex<Option<Installed>> = Mutex::new(None);

impl Prometheus {
    /// Installs this as the program's recorder, and runs its upkeep every five seconds on the current
    /// runtime, until that runtime shuts down.
    ///
    /// A program has one recorder. A second call keeps the first recorder and returns its scrape; if the
    /// settings differ, it logs a WARN. If the runtime of the upkeep is gone, upkeep continues on the current
    /// one.
    ///
    /// # Errors
    ///
    /// When another kind of recorder is installed already, or when no tokio runtime is running.
    pub fn install(self) -> Result<Scrape, InstallError> {
        let runtime = Handle::try_current().map_err(|_| InstallError::NoRuntime)?;
        let settings = self.comparable();
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = &mut *installed {
            if first.settings != settings {
                tracing::warn!(
                    "a Prometheus recorder with other settings is already installed: these settings are \
                     ignored"
                );
            }
            // The runtime may be gone, for example that of an earlier test.
            if first.upkeep.is_finished() {
                first.upkeep = start_upkeep(&runtime, &first.recorder);
            }
            return Ok(first.scrape.clone());
        }
        let recorder = Arc::new(self.recorder()?);
        metrics::set_global_recorder(Arc::clone(&recorder))
            .map_err(|_| InstallError::AlreadyInstalled)?;
        let upkeep = start_upkeep(&runtime, &recorder);
        let scrape = Scrape::new(recorder.handle());
        *installed = Some(Installed { recorder, scrape: scrape.clone(), settings, upkeep });
        Ok(scrape)
    }

    /// Builds a recorder for [`MetricsLayer::with_recorder`](crate::MetricsLayer::with_recorder). Its
    /// upkeep runs on the current runtime until the recorder is dropped.
    ///
    /// # Errors
    ///
    /// When no tokio runtime is running.
    pub fn build(self) -> Result<(Arc<PrometheusRecorder>, Scrape), InstallError> {
        let runtime = Handle::try_current().map_err(|_| InstallError::NoRuntime)?;
        let recorder = Arc::new(self.recorder()?);
        start_upkeep(&runtime, &recorder);
        let scrape = Scrape::new(recorder.handle());
        Ok((recorder, scrape))
    }
}
