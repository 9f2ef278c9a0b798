//! The upkeep of a recorder.

use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusRecorder;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How often recorded samples are moved into the histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn start_upkeep(runtime: &Handle, recorder: &Arc<PrometheusRecorder>) -> JoinHandle<()> {
    runtime.spawn(upkeep(Arc::downgrade(recorder), |recorder| recorder.handle().run_upkeep()))
}

/// Runs upkeep until the recorder is dropped.
async fn upkeep<R: Send + Sync + 'static>(recorder: Weak<R>, run: fn(&R)) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        let Some(recorder) = recorder.upgrade() else { return };
        // It visits every sample since the last time.
        if tokio::task::spawn_blocking(move || run(&recorder)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn upkeep_runs_every_five_seconds_until_the_recorder_is_dropped() {
        let recorder = Arc::new(AtomicUsize::new(0));
        let run = |runs: &AtomicUsize| {
            runs.fetch_add(1, Ordering::SeqCst);
        };
        let task = tokio::spawn(upkeep(Arc::downgrade(&recorder), run));
        tokio::time::sleep(Duration::from_secs(51)).await;
        assert_eq!(recorder.load(Ordering::SeqCst), 10);
        assert!(!task.is_finished());
        drop(recorder);
        task.await.expect("it ends");
    }
}
