//! The series of all methods.

use std::sync::{Arc, OnceLock};

use metrics::Recorder;
use tonic_call::Rpc;

use crate::families::describe;
use crate::method::MethodLabels;
use crate::series::Series;
use crate::settings::Settings;
use crate::variant::Variant;

/// The series of all methods. They are registered in the recorder as soon as there is one.
pub(crate) struct SeriesTable {
    settings: Arc<Settings>,
    slots: OnceLock<Slots>,
}

/// A slot for each method that is or may become known, and one for all others; each of these for every
/// [`Variant`].
struct Slots {
    slots: Box<[OnceLock<Arc<Series>>]>,
    /// How many methods may become known.
    capacity: usize,
}

impl SeriesTable {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), slots: OnceLock::new() }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Registers the described methods, if a recorder is installed and this was not done before.
    pub(crate) fn register(&self) {
        let _ = self.slots();
    }

    /// The series of the method that a call names. `None` while no recorder is installed.
    pub(crate) fn series(&self, rpc: &Rpc, variant: Variant) -> Option<Arc<Series>> {
        let slots = self.slots()?;
        let known = rpc.known();
        let method = known.map(|_| rpc.full());
        let index = variant.index(&self.settings.labels);
        let slot = slots.get(known.map(|known| known.index), index);
        if let Some(series) = slot.and_then(OnceLock::get)
            && series.is_of(method)
        {
            return Some(Arc::clone(series));
        }

        let series = Arc::new(register(&self.settings, rpc, variant)?);
        let kept = slot.map(|slot| slot.get_or_init(|| Arc::clone(&series)));
        // An `ObserveLayer` may number the methods differently: then the slot belongs to another method.
        // Registering again returns the same series.
        Some(kept.filter(|kept| kept.is_of(method)).cloned().unwrap_or(series))
    }

    fn slots(&self) -> Option<&Slots> {
        if let Some(slots) = self.slots.get() {
            return Some(slots);
        }
        let recorder = &self.settings.recorder;
        recorder
            .with(|recorder| self.slots.get_or_init(|| Slots::register(recorder, &self.settings)))
    }
}

impl Slots {
    /// Describes the families, and registers the described methods.
    fn register(recorder: &dyn Recorder, settings: &Arc<Settings>) -> Self {
        describe(recorder, settings);
        let capacity = settings.known.capacity();
        let variants = Variant::count(settings.names, settings.side, &settings.labels);
        let slots = (0..(capacity + 1) * variants).map(|_| OnceLock::new()).collect();
        let slots = Self { slots, capacity };
        let described = settings.known.methods().cloned().unwrap_or_default();
        // First, for all methods, what each call uses. Recorders allocate in this order, and what lies together is
        // fetched together.
        for variant in Variant::declared(settings) {
            for (index, method) in described.iter().enumerate() {
                let path = format!("/{}", method.full()).parse();
                if path.is_ok_and(|path| settings.excludes(&Rpc::from_uri(&path))) {
                    continue;
                }
                let method = MethodLabels::Known {
                    full: method.full(),
                    service: method.service(),
                    name: method.name(),
                    kind: Some(method.kind()),
                    is_described: true,
                };
                let series = Series::register(recorder, settings, &method, variant);
                series.register_ok(recorder);
                if let Some(slot) = slots.get(Some(index), variant.index(&settings.labels)) {
                    slot.get_or_init(|| Arc::new(series));
                }
            }
        }
        for series in slots.slots.iter().filter_map(OnceLock::get) {
            series.register_rest(recorder);
        }
        slots
    }

    fn get(&self, method: Option<usize>, variant: usize) -> Option<&OnceLock<Arc<Series>>> {
        let offset = match method {
            Some(index) if index >= self.capacity => return None,
            Some(index) => index,
            None => self.capacity,
        };
        self.slots.get(variant * (self.capacity + 1) + offset)
    }
}

#[cold]
fn register(settings: &Arc<Settings>, rpc: &Rpc, variant: Variant) -> Option<Series> {
    let described = || settings.known.methods()?.get(rpc.service(), rpc.method());
    let method = match rpc.known() {
        Some(known) => MethodLabels::Known {
            full: rpc.full(),
            service: rpc.service(),
            name: rpc.method(),
            kind: known.kind.or_else(|| described().map(tonic_call::Method::kind)),
            is_described: false,
        },
        None => MethodLabels::Unknown,
    };
    settings.recorder.with(|recorder| {
        let series = Series::register(recorder, settings, &method, variant);
        series.register_panics(recorder);
        series
    })
}
