//! Which event of this crate a thread emits now, for the formatter of `json`.

use std::cell::Cell;

use tracing_core::Metadata;

use crate::json::object::QuotedKey;

/// An event, and its keys as JSON, by the indexes of its fields.
#[derive(Clone, Copy)]
struct Emitted {
    metadata: &'static Metadata<'static>,
    keys: &'static [QuotedKey],
}

thread_local! {
    static EMITTED: Cell<Option<Emitted>> = const { Cell::new(None) };
}

/// Exists while an event is emitted on this thread.
pub(crate) struct Emitting {
    outer: Option<Emitted>,
}

impl Emitting {
    pub(crate) fn start(metadata: &'static Metadata<'static>, keys: &'static [QuotedKey]) -> Self {
        Self { outer: EMITTED.replace(Some(Emitted { metadata, keys })) }
    }
}

impl Drop for Emitting {
    fn drop(&mut self) {
        EMITTED.set(self.outer);
    }
}

/// The keys of an event as JSON, by the indexes of its fields, if it has this metadata and this thread emits it.
pub(crate) fn quoted_keys(metadata: &Metadata<'_>) -> Option<&'static [QuotedKey]> {
    let emitted = EMITTED.get()?;
    std::ptr::addr_eq(emitted.metadata, metadata).then_some(emitted.keys)
}
