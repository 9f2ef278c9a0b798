use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use http::{request, response};
use tonic_call::{Batch, Call, CallInfo, End, Flow, Message, Observer, Rpc, Side, Stopwatch};

use crate::labelled::Labelled;
use crate::settings::Settings;
use crate::table::Table;

/// Counts and times calls: the [`Observer`] in a [`MetricsLayer`](crate::MetricsLayer).
///
/// Clones share their series.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    /// Empty until a recorder is there.
    table: OnceLock<Table>,
}

/// One call that is being counted and timed.
// In flight is up before anything else is counted, and down after everything: a reader in between finds
// the call in flight, handled or both, but never neither. And when nothing is in flight any more, all is
// counted.
pub struct MetricsCall {
    series: Labelled,
    /// On servers: what the layers inside say of refusals and panics.
    info: Option<CallInfo>,
    since: Stopwatch,
    panic_counted: AtomicBool,
}

impl Metrics {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared { settings: Arc::new(settings), table: OnceLock::new() }))
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.0.settings
    }

    /// The table, which registers at once what is known beforehand. `None` while there is no
    /// recorder.
    pub(crate) fn table(&self) -> Option<&Table> {
        let Shared { settings, table } = &*self.0;
        if let Some(table) = table.get() {
            return Some(table);
        }
        settings.recorder.with(|recorder| table.get_or_init(|| Table::register(recorder, settings)))
    }
}

impl Observer for Metrics {
    type Call = MetricsCall;

    fn begin(&self, _: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<MetricsCall> {
        let settings = self.settings();
        if settings.leaves_out(rpc) {
            return None;
        }
        let since = Stopwatch::since_arrival(&head.extensions);
        let combination = settings.labels.combination_of(head);
        let Some(series) = Labelled::begin(self, rpc, combination) else {
            warn();
            return None;
        };
        let info = match settings.side {
            Side::Server => Some(CallInfo::get_or_insert(Side::Server, &mut head.extensions)),
            Side::Client => None,
        };
        Some(MetricsCall { series, info, since, panic_counted: AtomicBool::new(false) })
    }
}

/// Says once that nobody will see a count. Not before a call: a recorder may be installed after the layer is
/// made.
#[cold]
fn warn() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            target: "tonic_metrics_layer",
            "no recorder of the crate `metrics` is installed, so that calls are not counted until there is \
             one: install it before the first call, for example by `exporter::Prometheus`, or give it to the \
             layer by `with_recorder`. One for another version of `metrics` does not count"
        );
    });
}

impl MetricsCall {
    /// Once per call, however many panics there are.
    fn count_panic(&self) {
        if !self.panic_counted.swap(true, Ordering::Relaxed)
            && let Some(series) = self.series.decided()
        {
            series.panics.increment(1);
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
    fn responded(&self, _: &mut response::Parts) {
        // The head has made its method known, if it can.
        let _ = self.series.decided();
    }

    fn message(&self, flow: Flow, message: Message) {
        self.series.message(flow, message);
    }

    fn batch(&self, flow: Flow, batch: Batch) {
        self.series.batch(flow, batch);
    }

    fn unwound(&self) {
        self.count_panic();
    }

    fn end(&self, end: End<'_>) {
        let _last = Leaving(&self.series);
        let Some(series) = self.series.decided() else { return };
        series.end(end.code(), self.since.elapsed());
        if let Some(info) = &self.info {
            for refusal in info.refusals() {
                series.refuse(&refusal);
            }
            self.count_recovered_panic();
        }
    }
}

/// A panic in a destructor comes after the end: what stood for the call is dropped, and only then
/// this. An end that was never told, because another observer's `begin` unwound, still leaves.
impl Drop for MetricsCall {
    fn drop(&mut self) {
        self.count_recovered_panic();
        self.series.leave();
    }
}

/// Leaves even if a recorder panics.
struct Leaving<'a>(&'a Labelled);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("side", &self.0.settings.side).finish_non_exhaustive()
    }
}

impl fmt::Debug for MetricsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsCall")
    }
}
