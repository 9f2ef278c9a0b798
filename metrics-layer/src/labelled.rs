//! Under which labels a call is counted, and when that is decided.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tonic_call::{Batch, EarlyMessages, Flow, Message, Rpc};

use crate::observer::Metrics;
use crate::series::Series;

/// The series of one call.
///
/// Those of a known method are decided when the call begins. A method that is not known yet may
/// become so by this call's own answer: until its head, such a call is in flight as `unknown`, and
/// nothing else of it is counted.
pub(crate) struct Labelled {
    series: OnceLock<Arc<Series>>,
    pending: Option<Box<Pending>>,
    in_flight: AtomicBool,
}

struct Pending {
    metrics: Metrics,
    rpc: Rpc,
    /// Of the extra labels.
    combination: usize,
    unknown: Arc<Series>,
    /// What has passed; `None` once it is counted.
    early: Mutex<Option<EarlyMessages>>,
}

impl Labelled {
    /// Counts a call that begins. `None` while there is no recorder.
    pub(crate) fn begin(metrics: &Metrics, rpc: &Rpc, combination: usize) -> Option<Self> {
        let series = metrics.table()?.series(metrics.settings(), rpc, combination)?;
        let is_open = rpc.known().is_none() && !rpc.is_undescribed();
        if is_open && metrics.settings().known.may_learn(rpc) {
            let pending = Pending {
                metrics: metrics.clone(),
                rpc: rpc.clone(),
                combination,
                unknown: series,
                early: Mutex::new(Some(EarlyMessages::default())),
            };
            let call = Self::new(OnceLock::new(), Some(Box::new(pending)));
            return Some(call);
        }
        let call = Self::new(OnceLock::from(Arc::clone(&series)), None);
        series.started.increment(1);
        Some(call)
    }

    /// In flight from now until it [leaves](Self::leave), or is dropped.
    fn new(series: OnceLock<Arc<Series>>, pending: Option<Box<Pending>>) -> Self {
        let call = Self { series, pending, in_flight: AtomicBool::new(true) };
        if let Some(series) = call.now() {
            series.in_flight.increment(1.0);
        }
        call
    }

    /// The series, as far as they are decided; else those in which the call is in flight.
    fn now(&self) -> Option<&Series> {
        let pending = self.pending.as_ref().map(|pending| &pending.unknown);
        self.series.get().or(pending).map(|series| &**series)
    }

    /// In flight no more: once, since its end comes before its drop.
    pub(crate) fn leave(&self) {
        if self.in_flight.load(Ordering::Relaxed) {
            self.in_flight.store(false, Ordering::Relaxed);
            if let Some(series) = self.now() {
                series.in_flight.decrement(1.0);
            }
        }
    }

    /// The series, decided now at the latest.
    pub(crate) fn decided(&self) -> Option<&Series> {
        match (self.series.get(), &self.pending) {
            (Some(series), _) => Some(series),
            (None, Some(pending)) => Some(pending.decide(&self.series)),
            (None, None) => None,
        }
    }

    pub(crate) fn message(&self, flow: Flow, message: Message) {
        self.pass(|early| early.add(message), |series| series.message(flow, message));
    }

    pub(crate) fn batch(&self, flow: Flow, batch: Batch) {
        self.pass(|early| early.add_batch(batch), |series| series.batch(flow, batch));
    }

    /// Keeps what passes, or counts it, if the series are decided.
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

/// A call whose end was never reported leaves all the same.
impl Drop for Labelled {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Pending {
    fn early(&self) -> MutexGuard<'_, Option<EarlyMessages>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides, and counts what had to wait for that.
    fn decide<'a>(&self, decided: &'a OnceLock<Arc<Series>>) -> &'a Series {
        let mut early = self.early();
        let series =
            decided.get_or_init(|| self.find().unwrap_or_else(|| Arc::clone(&self.unknown)));
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
            // Last: at no moment is the call in flight nowhere.
            if moves {
                self.unknown.in_flight.decrement(1.0);
            }
        }
        series
    }

    fn find(&self) -> Option<Arc<Series>> {
        let settings = self.metrics.settings();
        let rpc = settings.known.refresh(&self.rpc);
        self.metrics.table()?.series(settings, &rpc, self.combination)
    }
}
