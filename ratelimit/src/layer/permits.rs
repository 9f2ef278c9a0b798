use std::fmt;
use std::sync::Arc;

use tonic_call::EntryId;

use crate::limits::Store;

/// Counts a call in all its limits of calls in flight, until it is dropped.
#[derive(Default)]
pub struct Permits(Vec<Permit>);

struct Permit {
    store: Arc<Store>,
    entry: EntryId,
}

impl Permits {
    pub(crate) fn add(&mut self, store: &Arc<Store>, entry: EntryId) {
        self.0.push(Permit { store: Arc::clone(store), entry });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.store.release(self.entry);
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permits").field(&self.0.len()).finish()
    }
}
