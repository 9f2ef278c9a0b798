use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use metrics_util::MetricKindMask;
use tonic_call::Side;

use super::{BucketsError, InstallError};
use crate::buckets::{
    CALL_DURATION_SECONDS_BUCKETS, HANDLING_SECONDS_BUCKETS, MESSAGE_BYTES_BUCKETS,
};
use crate::families::Families;

/// Configures `metrics-exporter-prometheus` for the families of this crate.
#[derive(Debug, Default)]
pub struct Prometheus {
    builder: PrometheusBuilder,
    buckets: Option<Vec<f64>>,
}

impl Prometheus {
    /// Uses [`HANDLING_SECONDS_BUCKETS`], [`CALL_DURATION_SECONDS_BUCKETS`] and
    /// [`MESSAGE_BYTES_BUCKETS`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the buckets of the call durations, as upper bounds in seconds: of
    /// `grpc_{server,client}_handling_seconds` and `rpc_{server,client}_call_duration_seconds`.
    ///
    /// # Errors
    ///
    /// When the list is empty, a bound is not finite, or the bounds do not ascend.
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

    /// Changes the exporter's own settings, for example global labels or the buckets of other histograms.
    ///
    /// An idle timeout, and buckets for this crate's histograms, are overwritten.
    #[must_use]
    pub fn configure(self, set: impl FnOnce(PrometheusBuilder) -> PrometheusBuilder) -> Self {
        Self { builder: set(self.builder), ..self }
    }

    /// The settings in a form that can be compared. The exporter's maps print their entries in any order,
    /// so the parts are sorted.
    pub(super) fn comparable(&self) -> Vec<String> {
        let printed = format!("{self:?}");
        let parts = printed.split([',', '{', '}', '[', ']']);
        let mut parts: Vec<_> = parts.map(str::to_owned).collect();
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
