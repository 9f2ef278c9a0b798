//! The series of one call, and when they are chosen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tonic_call::{Batch, EarlyMessages, Flow, Message, Rpc};

use crate::series::Series;
use crate::table::SeriesTable;
use crate::variant::Variant;

/// The series of one call.
///
/// Those of a known method are chosen when the call begins. An unknown method may become known by the answer
/// to this call: until the response head, the call is in flight as `unknown`, and nothing else of it is
/// counted.
pub(crate) struct CallSeries {
    series: OnceLock<Arc<Series>>,
    pending: Option<Box<Pending>>,
    in_flight: AtomicBool,
}

struct Pending {
    table: Arc<SeriesTable>,
    rpc: Rpc,
    variant: Variant,
    unknown: Arc<Series>,
    /// The messages so far; `None` once they are counted.
    early: Mutex<Option<EarlyMessages>>,
}

impl CallSeries {
    /// Counts the beginning of a call. `None` while no recorder is installed.
    pub(crate) fn begin(table: &Arc<SeriesTable>, rpc: &Rpc, variant: Variant) -> Option<Self> {
        let series = table.series(rpc, variant)?;
        let is_open = rpc.known().is_none() && !rpc.is_undescribed();
        if is_open && table.settings().known.may_learn(rpc) {
            let pending = Pending {
                table: Arc::clone(table),
                rpc: rpc.clone(),
                variant,
                unknown: series,
                early: Mutex::new(Some(EarlyMessages::default())),
            };
            return Some(Self::new(OnceLock::new(), Some(Box::new(pending))));
        }
        let call = Self::new(OnceLock::from(Arc::clone(&series)), None);
        series.started.increment(1);
        Some(call)
    }

    /// The call is in flight from now on until it [leaves](Self::leave) or is dropped.
    fn new(series: OnceLock<Arc<Series>>, pending: Option<Box<Pending>>) -> Self {
        let call = Self { series, pending, in_flight: AtomicBool::new(true) };
        if let Some(series) = call.current() {
            series.in_flight.increment(1.0);
        }
        call
    }

    /// The series in which the call is in flight now.
    fn current(&self) -> Option<&Series> {
        let pending = self.pending.as_ref().map(|pending| &pending.unknown);
        self.series.get().or(pending).map(|series| &**series)
    }

    /// Decrements `in_flight`, at most once: both the end and the drop call this.
    pub(crate) fn leave(&self) {
        if self.in_flight.load(Ordering::Relaxed) {
            self.in_flight.store(false, Ordering::Relaxed);
            if let Some(series) = self.current() {
                series.in_flight.decrement(1.0);
            }
        }
    }

    /// The final series, which are chosen now if they were not before.
    pub(crate) fn resolve(&self) -> Option<&Series> {
        match (self.series.get(), &self.pending) {
            (Some(series), _) => Some(series),
            (None, Some(pending)) => Some(pending.resolve(&self.series)),
            (None, None) => None,
        }
    }

    pub(crate) fn message(&self, flow: Flow, message: Message) {
        self.pass(|early| early.add(message), |series| series.message(flow, message));
    }

    pub(crate) fn batch(&self, flow: Flow, batch: Batch) {
        self.pass(|early| early.add_batch(batch), |series| series.batch(flow, batch));
    }

    /// Counts what passes, or keeps it while the series are not chosen.
    fn pass(&self, keep: impl FnOnce(&mut EarlyMessages), count: impl FnOnce(&Series)) {
        if self.series.get().is_none()
            && let Some(pending) = &self.pending
            && let Some(early) = &mut *pending.early()
        {
            return keep(early);
        }
        if let Some(series) = self.series.get() {
            count(series);
        }
    }
}

/// Decrements `in_flight` of a call whose end was never reported.
impl Drop for CallSeries {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Pending {
    fn early(&self) -> MutexGuard<'_, Option<EarlyMessages>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses the series, and counts what was kept until then.
    fn resolve<'a>(&self, resolved: &'a OnceLock<Arc<Series>>) -> &'a Series {
        let mut early = self.early();
        let series =
            resolved.get_or_init(|| self.find().unwrap_or_else(|| Arc::clone(&self.unknown)));
        if let Some(messages) = early.take() {
            let moves = !Arc::ptr_eq(series, &self.unknown);
            if moves {
                series.in_flight.increment(1.0);
            }
            series.started.increment(1);
            for message in messages.messages() {
                series.message(Flow::Request, *message);
            }
            if let Some(batch) = messages.batch() {
                series.batch(Flow::Request, batch);
            }
            // Last, so that the call is in flight in at least one series at any moment.
            if moves {
                self.unknown.in_flight.decrement(1.0);
            }
        }
        series
    }

    fn find(&self) -> Option<Arc<Series>> {
        let rpc = self.table.settings().known.refresh(&self.rpc);
        self.table.series(&rpc, self.variant)
    }
}
