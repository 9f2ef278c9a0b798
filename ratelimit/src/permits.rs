use std::fmt;
use std::sync::Arc;

use crate::store::{Place, Store};

/// The places that a call has among those in flight. Dropped, it frees them.
#[derive(Default)]
pub struct Permits(Vec<Permit>);

struct Permit {
    store: Arc<Store>,
    place: Place,
}

impl Permits {
    pub(crate) fn add(&mut self, store: &Arc<Store>, place: Place) {
        self.0.push(Permit { store: Arc::clone(store), place });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.store.release(self.place);
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permits").field(&self.0.len()).finish()
    }
}
