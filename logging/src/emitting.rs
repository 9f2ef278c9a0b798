//! Which event of this crate a thread emits now, for the formatter of `json`.

use std::cell::Cell;

use tracing_core::Metadata;

use crate::json::object::QuotedKey;
use crate::site::Site;

thread_local! {
    static EMITTED: Cell<Option<&'static Site>> = const { Cell::new(None) };
}

/// Exists while the event of a site is emitted on this thread.
pub(crate) struct Emitting {
    outer: Option<&'static Site>,
}

impl Emitting {
    pub(crate) fn start(site: &'static Site) -> Self {
        Self { outer: EMITTED.replace(Some(site)) }
    }
}

impl Drop for Emitting {
    fn drop(&mut self) {
        EMITTED.set(self.outer);
    }
}

/// The keys of an event as JSON, by the indexes of its fields, if it has this metadata and this thread emits it.
pub(crate) fn quoted_keys(metadata: &Metadata<'_>) -> Option<&'static [QuotedKey]> {
    let site = EMITTED.get()?;
    std::ptr::addr_eq(site.metadata_of(), metadata).then(|| site.quoted_keys())
}
