use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use metrics_util::MetricKindMask;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tonic_call::Side;

use super::{BucketsError, InstallError, Scrape, installed};
use crate::buckets::{
    CALL_DURATION_SECONDS_BUCKETS, HANDLING_SECONDS_BUCKETS, MESSAGE_BYTES_BUCKETS,
};
use crate::families::Families;

/// How often samples are taken out of what calls record into.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Sets up `metrics-exporter-prometheus` for the families of this crate.
#[derive(Debug, Default)]
pub struct Prometheus {
    builder: PrometheusBuilder,
    buckets: Option<Vec<f64>>,
}

impl Prometheus {
    /// With [`HANDLING_SECONDS_BUCKETS`], [`CALL_DURATION_SECONDS_BUCKETS`] and
    /// [`MESSAGE_BYTES_BUCKETS`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the upper bounds, in seconds, of how long calls take: of
    /// `grpc_{server,client}_handling_seconds` and `rpc_{server,client}_call_duration_seconds`.
    ///
    /// # Errors
    ///
    /// When there are none, one is not finite, or they don't ascend.
    pub fn buckets(self, seconds: &[f64]) -> Result<Self, BucketsError> {
        if seconds.is_empty() {
            return Err(BucketsError::Empty);
        }
        if let Some(bound) = seconds.iter().find(|bound| !bound.is_finite()) {
            return Err(BucketsError::NotFinite(*bound));
        }
        if let Some(pair) = seconds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(BucketsError::NotAscending(pair[1]));
        }
        Ok(Self { buckets: Some(seconds.to_vec()), ..self })
    }

    /// Changes the exporter's own settings: global labels, for example, or the buckets of other
    /// histograms.
    ///
    /// An idle timeout, and buckets of this crate's histograms, are overruled.
    #[must_use]
    pub fn configure(self, set: impl FnOnce(PrometheusBuilder) -> PrometheusBuilder) -> Self {
        Self { builder: set(self.builder), ..self }
    }

    /// Makes it the program's recorder, and runs its upkeep on the current runtime, every five
    /// seconds for as long as that runtime runs.
    ///
    /// A program has one recorder: where this has been called before, the first one stays, and its scrape is
    /// given. If that one was set up otherwise, a WARN says so. If the runtime of its upkeep is gone, upkeep
    /// runs on the current one from here on.
    ///
    /// # Errors
    ///
    /// When there is a recorder of another kind already, or no tokio runtime.
    pub fn install(self) -> Result<Scrape, InstallError> {
        let runtime = Handle::try_current().map_err(|_| InstallError::NoRuntime)?;
        installed::install(self, &runtime)
    }

    /// Makes a recorder for [`MetricsLayer::with_recorder`](crate::MetricsLayer::with_recorder),
    /// whose upkeep runs on the current runtime until nobody has the recorder any more.
    ///
    /// # Errors
    ///
    /// When there is no tokio runtime.
    pub fn build(self) -> Result<(Arc<PrometheusRecorder>, Scrape), InstallError> {
        let runtime = Handle::try_current().map_err(|_| InstallError::NoRuntime)?;
        let recorder = Arc::new(self.recorder()?);
        start_upkeep(&runtime, &recorder);
        let scrape = Scrape::new(recorder.handle());
        Ok((recorder, scrape))
    }

    /// The settings, to be compared: equal ones are equal, in whichever order the exporter's maps show
    /// theirs.
    pub(super) fn shown(&self) -> Vec<String> {
        let shown = format!("{self:?}");
        let mut parts: Vec<_> = shown.split([',', '{', '}', '[', ']']).map(str::to_owned).collect();
        parts.sort_unstable();
        parts
    }

    pub(super) fn recorder(self) -> Result<PrometheusRecorder, InstallError> {
        let mut builder = self.builder.idle_timeout(MetricKindMask::NONE, None);
        for side in [Side::Server, Side::Client] {
            let families = Families::of(side);
            let seconds = self.buckets.as_deref();
            for (family, buckets) in [
                (&families.handling, seconds.unwrap_or(&HANDLING_SECONDS_BUCKETS)),
                (&families.duration, seconds.unwrap_or(&CALL_DURATION_SECONDS_BUCKETS)),
                (&families.received_bytes, &MESSAGE_BYTES_BUCKETS),
                (&families.sent_bytes, &MESSAGE_BYTES_BUCKETS),
            ] {
                let name = Matcher::Full(family.name.to_owned());
                builder = builder
                    .set_buckets_for_metric(name, buckets)
                    .map_err(InstallError::Exporter)?;
            }
        }
        Ok(builder.build_recorder())
    }
}

pub(super) fn start_upkeep(runtime: &Handle, recorder: &Arc<PrometheusRecorder>) -> JoinHandle<()> {
    runtime.spawn(upkeep(Arc::downgrade(recorder), |recorder| recorder.handle().run_upkeep()))
}

/// Runs upkeep for as long as the recorder is there.
async fn upkeep<R: Send + Sync + 'static>(recorder: Weak<R>, run: fn(&R)) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        let Some(recorder) = recorder.upgrade() else { return };
        // It goes through every sample since the last time.
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
    async fn upkeep_runs_every_five_seconds_for_as_long_as_there_is_a_recorder() {
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
