//! The series of all methods.

use std::sync::{Arc, OnceLock};

use metrics::Recorder;
use tonic_call::Rpc;

use crate::families::describe;
use crate::method::Method;
use crate::series::Series;
use crate::settings::Settings;

/// A place for the series of each method that may become known, and one for all others; that for
/// each combination of the extra labels.
pub(crate) struct Table {
    slots: Box<[OnceLock<Arc<Series>>]>,
    /// How many methods may become known.
    capacity: usize,
}

impl Table {
    /// Describes the families, and registers the methods that are known beforehand.
    pub(crate) fn register(recorder: &dyn Recorder, settings: &Arc<Settings>) -> Self {
        describe(recorder, settings);
        let capacity = settings.known.capacity();
        let combinations = settings.labels.combinations();
        let slots = (0..(capacity + 1) * combinations).map(|_| OnceLock::new()).collect();
        let table = Self { slots, capacity };
        let described = settings.known.methods().cloned().unwrap_or_default();
        for combination in 0..combinations {
            for (index, method) in described.iter().enumerate() {
                let path = format!("/{}", method.full()).parse();
                if path.is_ok_and(|path| settings.leaves_out(&Rpc::from_uri(&path))) {
                    continue;
                }
                let method = Method::Known {
                    full: method.full(),
                    service: method.service(),
                    name: method.name(),
                    kind: Some(method.kind()),
                };
                let series = Series::register(recorder, settings, &method, combination);
                series.register_codes(recorder);
                if let Some(slot) = table.slot(Some(index), combination) {
                    slot.get_or_init(|| Arc::new(series));
                }
            }
        }
        table
    }

    /// The series of the method that a call names.
    pub(crate) fn series(
        &self,
        settings: &Arc<Settings>,
        rpc: &Rpc,
        combination: usize,
    ) -> Option<Arc<Series>> {
        let known = rpc.known();
        let method = known.map(|_| rpc.full());
        let slot = self.slot(known.map(|known| known.index), combination);
        if let Some(series) = slot.and_then(OnceLock::get)
            && series.is_of(method)
        {
            return Some(Arc::clone(series));
        }

        let series = Arc::new(register(settings, rpc, combination)?);
        let kept = slot.map(|slot| slot.get_or_init(|| Arc::clone(&series)));
        // In a layer that numbers the methods in another way, the slot is another method's.
        // Registered once more, the series are still the same.
        Some(kept.filter(|kept| kept.is_of(method)).cloned().unwrap_or(series))
    }

    fn slot(&self, method: Option<usize>, combination: usize) -> Option<&OnceLock<Arc<Series>>> {
        let place = match method {
            Some(index) if index >= self.capacity => return None,
            Some(index) => index,
            None => self.capacity,
        };
        self.slots.get(combination * (self.capacity + 1) + place)
    }
}

#[cold]
fn register(settings: &Arc<Settings>, rpc: &Rpc, combination: usize) -> Option<Series> {
    let described = || settings.known.methods()?.get(rpc.service(), rpc.method());
    let method = match rpc.known() {
        Some(known) => Method::Known {
            full: rpc.full(),
            service: rpc.service(),
            name: rpc.method(),
            kind: known.kind.or_else(|| described().map(tonic_call::Method::kind)),
        },
        None => Method::Unknown,
    };
    settings.recorder.with(|recorder| Series::register(recorder, settings, &method, combination))
}
