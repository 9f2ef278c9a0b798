use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use http::request;
use tonic_call::{Batch, Call, CallInfo, End, Flow, Message, Observer, Rpc, Side, Stopwatch};

use crate::series::Series;
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
pub struct MetricsCall {
    series: Arc<Series>,
    /// On servers: what the layers inside say of refusals and panics.
    info: Option<CallInfo>,
    since: Stopwatch,
    in_flight: AtomicBool,
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
        let table = self.table()?;
        let series = table.series(settings, rpc, settings.labels.combination_of(head))?;
        let info = match settings.side {
            Side::Server => Some(CallInfo::get_or_insert(Side::Server, &mut head.extensions)),
            Side::Client => None,
        };
        Some(MetricsCall::begin(series, info))
    }
}

impl MetricsCall {
    // In flight is up before anything else is counted, and down after everything: whoever looks in
    // between finds the call in flight, handled or both, but never neither. And when nothing is in
    // flight any more, all is counted.
    fn begin(series: Arc<Series>, info: Option<CallInfo>) -> Self {
        series.in_flight.increment(1.0);
        let call = Self {
            series,
            info,
            since: Stopwatch::start(),
            in_flight: AtomicBool::new(true),
            panic_counted: AtomicBool::new(false),
        };
        call.series.started.increment(1);
        call
    }

    /// Once: whoever ends the call comes before whoever drops it.
    fn leave(&self) {
        if self.in_flight.load(Ordering::Relaxed) {
            self.in_flight.store(false, Ordering::Relaxed);
            self.series.in_flight.decrement(1.0);
        }
    }

    /// Once per call, however many panics there are.
    fn count_panic(&self) {
        if !self.panic_counted.swap(true, Ordering::Relaxed) {
            self.series.panics.increment(1);
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
        let _last = Leaving(self);
        self.series.end(end.code(), self.since.elapsed());
        if let Some(info) = &self.info {
            for refusal in info.refusals() {
                self.series.refuse(&refusal);
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
        self.leave();
    }
}

/// Leaves even if a recorder panics.
struct Leaving<'a>(&'a MetricsCall);

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
