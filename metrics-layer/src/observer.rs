use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use http::{HeaderMap, StatusCode, request};
use tonic_call::{Batch, Call, CallInfo, End, Flow, Message, Observer, Rpc, Side, Stopwatch};

use crate::call_series::CallSeries;
use crate::settings::Settings;
use crate::table::SeriesTable;
use crate::variant::Variant;

/// The [`Observer`] of a [`MetricsLayer`](crate::MetricsLayer).
///
/// Clones share their series.
#[derive(Clone)]
pub struct Metrics(Arc<SeriesTable>);

/// One call that is counted and timed.
// `in_flight` is incremented before anything else is counted, and decremented last. So a scrape sees each call
// in flight, handled or both, but never neither; and once nothing is in flight, everything is counted.
pub struct MetricsCall {
    series: CallSeries,
    /// On servers: the refusals and panics that the layers inside report.
    info: Option<CallInfo>,
    since: Stopwatch,
    panic_counted: AtomicBool,
}

impl Metrics {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(SeriesTable::new(settings)))
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.0.settings()
    }

    /// Registers the described methods, if a recorder is installed.
    pub(crate) fn register(&self) {
        self.0.register();
    }
}

impl Observer for Metrics {
    type Call = MetricsCall;

    fn begin(&self, _: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<MetricsCall> {
        let settings = self.settings();
        if settings.excludes(rpc) {
            return None;
        }
        let since = Stopwatch::since_arrival(&head.extensions);
        let variant = Variant::of(settings, head);
        let Some(series) = CallSeries::begin(&self.0, rpc, variant) else {
            warn();
            return None;
        };
        let info = match settings.side {
            Side::Server => Some(CallInfo::get_or_insert(Side::Server, &mut head.extensions)),
            Side::Client => None,
        };
        Some(MetricsCall { series, info, since, panic_counted: AtomicBool::new(false) })
    }

    fn begins_in_scope(&self) -> bool {
        false
    }
}

/// Warns once that calls are not counted. Only at a call, because a recorder may be installed after the layer
/// is built.
#[cold]
fn warn() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            target: "tonic_metrics_layer",
            "no recorder of the crate `metrics` is installed, so calls are not counted: install one before \
             the first call, for example with `exporter::Prometheus`, or pass one to `with_recorder`. A \
             recorder for another version of `metrics` does not count"
        );
    });
}

impl MetricsCall {
    /// Counts at most one panic per call.
    fn count_panic(&self) {
        if !self.panic_counted.swap(true, Ordering::Relaxed)
            && let Some(series) = self.series.resolve()
        {
            series.panicked();
        }
    }

    /// Counts a panic that a layer inside recovered.
    fn count_recovered_panic(&self) {
        if self.info.as_ref().is_some_and(|info| info.panic().is_some()) {
            self.count_panic();
        }
    }
}

impl Call for MetricsCall {
    fn responded(&self, _: StatusCode, _: &mut HeaderMap) {
        // If the method can become known, the response head has made it known.
        let _ = self.series.resolve();
    }

    fn message(&self, flow: Flow, message: Message) {
        self.series.message(flow, message);
    }

    fn batch(&self, flow: Flow, batch: Batch) {
        self.series.batch(flow, batch);
    }

    fn reports_in_scope(&self) -> bool {
        false
    }

    fn unwound(&self) {
        self.count_panic();
    }

    fn info(&self) -> Option<&CallInfo> {
        self.info.as_ref()
    }

    fn end(&self, end: End<'_>) {
        let _last = Leaving(&self.series);
        let Some(series) = self.series.resolve() else { return };
        series.end(end.code(), self.since.elapsed_at_end());
        if let Some(info) = &self.info {
            for refusal in info.refusals() {
                series.refuse(&refusal);
            }
            self.count_recovered_panic();
        }
    }
}

/// Counts a panic in a destructor, which comes after the end; and lets a call leave whose end was not reported
/// because another observer's `begin` unwound.
impl Drop for MetricsCall {
    fn drop(&mut self) {
        self.count_recovered_panic();
        self.series.leave();
    }
}

/// Leaves even if a recorder panics.
struct Leaving<'a>(&'a CallSeries);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("side", &self.settings().side).finish_non_exhaustive()
    }
}

impl fmt::Debug for MetricsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsCall")
    }
}
