//! A recorder whose series can be read.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// The names of Go's `codes.Code`, in the order of their numbers.
pub(crate) const GO_CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The recorded series. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    series: Arc<Mutex<BTreeMap<String, Series>>>,
    described: Arc<Mutex<Vec<Described>>>,
    registered: Arc<AtomicUsize>,
    /// Each series, in the order in which they were first registered.
    order: Arc<Mutex<Vec<String>>>,
}

/// The description of a family: name and unit.
pub(crate) type Described = (String, Option<Unit>);

#[derive(Debug)]
enum Series {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Samples>),
}

#[derive(Debug)]
struct Samples(Mutex<Vec<f64>>);

impl Default for Samples {
    /// The capacity is reserved, so that a test that counts allocations does not count those of the recorder.
    fn default() -> Self {
        Self(Mutex::new(Vec::with_capacity(100)))
    }
}

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl Readings {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Every series as `name{label="value"}`, with its value. The value of a histogram is its number of samples.
    pub(crate) fn all(&self) -> BTreeMap<String, f64> {
        let value = |series: &Series| match series {
            Series::Counter(value) => value.load(Ordering::SeqCst) as f64,
            Series::Gauge(value) => f64::from_bits(value.load(Ordering::SeqCst)),
            Series::Histogram(samples) => samples.0.lock().unwrap().len() as f64,
        };
        self.series().iter().map(|(key, series)| (key.clone(), value(series))).collect()
    }

    /// The series with a value other than zero.
    pub(crate) fn moved(&self) -> Vec<(String, f64)> {
        self.all().into_iter().filter(|(_, value)| *value != 0.0).collect()
    }

    /// The sum of all series of a family that have these labels.
    pub(crate) fn sum(&self, family: &str, labels: &str) -> f64 {
        let is_of = |key: &str| key.split('{').next() == Some(family) && key.contains(labels);
        self.all().iter().filter(|(key, _)| is_of(key)).map(|(_, value)| value).sum()
    }

    /// Whether a family has any series.
    pub(crate) fn has(&self, family: &str) -> bool {
        self.all().keys().any(|key| key.split('{').next() == Some(family))
    }

    /// All samples of a family's histograms.
    pub(crate) fn samples(&self, family: &str) -> Vec<f64> {
        let mut all = Vec::new();
        for (key, series) in self.series().iter() {
            if let Series::Histogram(samples) = series
                && key.split('{').next() == Some(family)
            {
                all.extend(samples.0.lock().unwrap().iter().copied());
            }
        }
        all
    }

    /// How often handles were registered.
    pub(crate) fn registered(&self) -> usize {
        self.registered.load(Ordering::SeqCst)
    }

    /// Each series, in the order in which they were first registered.
    pub(crate) fn order(&self) -> Vec<String> {
        self.order.lock().unwrap().clone()
    }

    pub(crate) fn described(&self) -> Vec<Described> {
        self.described.lock().unwrap().clone()
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<String, Series>> {
        self.series.lock().unwrap()
    }

    /// Counts a registration. Returns the text of the key.
    fn register(&self, key: &Key) -> String {
        self.registered.fetch_add(1, Ordering::SeqCst);
        let text = text_of(key);
        let mut order = self.order.lock().unwrap();
        if !order.contains(&text) {
            order.push(text.clone());
        }
        text
    }

    fn describe(&self, key: &KeyName, unit: Option<Unit>) {
        self.described.lock().unwrap().push((key.as_str().to_owned(), unit));
    }
}

fn text_of(key: &Key) -> String {
    let labels: Vec<_> =
        key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorder for Readings {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let text = self.register(key);
        let mut series = self.series();
        let new = || Series::Counter(Arc::default());
        match series.entry(text).or_insert_with(new) {
            Series::Counter(value) => Counter::from_arc(Arc::clone(value)),
            _ => panic!("{key} is no counter"),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let text = self.register(key);
        let mut series = self.series();
        let new = || Series::Gauge(Arc::default());
        match series.entry(text).or_insert_with(new) {
            Series::Gauge(value) => Gauge::from_arc(Arc::clone(value)),
            _ => panic!("{key} is no gauge"),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let text = self.register(key);
        let mut series = self.series();
        let new = || Series::Histogram(Arc::default());
        match series.entry(text).or_insert_with(new) {
            Series::Histogram(samples) => Histogram::from_arc(Arc::clone(samples)),
            _ => panic!("{key} is no histogram"),
        }
    }
}
