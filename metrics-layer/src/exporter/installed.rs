//! The one recorder of the program.

use std::sync::{Arc, Mutex, PoisonError};

use metrics_exporter_prometheus::PrometheusRecorder;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::prometheus::start_upkeep;
use super::{InstallError, Prometheus, Scrape};

struct Installed {
    recorder: Arc<PrometheusRecorder>,
    scrape: Scrape,
    settings: Vec<String>,
    upkeep: JoinHandle<()>,
}

static INSTALLED: Mutex<Option<Installed>> = Mutex::new(None);

/// Makes it the program's recorder, unless one of ours is that already.
pub(super) fn install(wanted: Prometheus, runtime: &Handle) -> Result<Scrape, InstallError> {
    let settings = wanted.shown();
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = &mut *installed {
        if first.settings != settings {
            tracing::warn!(
                "a Prometheus recorder is installed already, with other settings: those of the first \
                 count, and these do not"
            );
        }
        // So it is when its runtime has ended, as that of a test does.
        if first.upkeep.is_finished() {
            first.upkeep = start_upkeep(runtime, &first.recorder);
        }
        return Ok(first.scrape.clone());
    }
    let recorder = Arc::new(wanted.recorder()?);
    metrics::set_global_recorder(Arc::clone(&recorder))
        .map_err(|_| InstallError::AlreadyInstalled)?;
    let upkeep = start_upkeep(runtime, &recorder);
    let scrape = Scrape::new(recorder.handle());
    *installed = Some(Installed { recorder, scrape: scrape.clone(), settings, upkeep });
    Ok(scrape)
}
