//! Events whose keys are chosen at run time.
//!
//! The macros of `tracing` fix an event's keys at compile time. Here they depend on the layer's settings, so
//! the call sites are built by hand: once for each set of keys, and never freed, like those of the macros.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use tracing::level_filters::STATIC_MAX_LEVEL;
use tracing_core::callsite::{self, Callsite, Identifier};
use tracing_core::field::{Field, FieldSet, Value};
use tracing_core::metadata::Kind;
use tracing_core::subscriber::Interest;
use tracing_core::{Event, Level, Metadata, dispatcher};

use crate::key::{Key, LAYER_KEYS};

/// The target of all events of this crate.
pub(crate) const TARGET: &str = "tonic_logging_layer";

/// The largest number of keys of an event: those of the layers, and forty that the settings add. An array of that
/// many values is on the stack during a write.
pub(crate) const MAX_KEYS: usize = Key::NAMES.len() + LAYER_KEYS.len() + 40;

/// The call site of one event, at one level, with one set of keys.
pub(crate) struct Site {
    definition: OnceLock<Definition>,
    interest: AtomicU8,
}

struct Definition {
    metadata: Metadata<'static>,
    fields: Vec<Field>,
}

const NEVER: u8 = 0;
const SOMETIMES: u8 = 1;
const ALWAYS: u8 = 2;

type Sites = HashMap<(&'static str, Level, Vec<&'static str>), &'static Site>;

/// All call sites. They are reused, because a test may build many layers.
static SITES: LazyLock<Mutex<Sites>> = LazyLock::new(Mutex::default);

impl Site {
    /// The site of events of this name and level, with the keys of every event and these extra ones.
    pub(crate) fn of(name: &'static str, level: Level, extra: &[&'static str]) -> &'static Self {
        let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
        sites
            .entry((name, level, extra.to_vec()))
            .or_insert_with(|| Self::register(name, level, extra))
    }

    fn register(name: &'static str, level: Level, extra: &[&'static str]) -> &'static Self {
        let keys: Vec<_> = Key::NAMES.into_iter().chain(extra.iter().copied()).collect();
        let site: &'static Self = Box::leak(Box::new(Self {
            definition: OnceLock::new(),
            interest: AtomicU8::new(NEVER),
        }));
        site.definition.get_or_init(|| {
            let keys = FieldSet::new(keys.leak(), Identifier(site));
            let metadata = Metadata::new(name, TARGET, level, None, None, None, keys, Kind::EVENT);
            Definition { fields: metadata.fields().iter().collect(), metadata }
        });
        // A level that `tracing` compiles out is disabled here, too.
        if level <= STATIC_MAX_LEVEL {
            callsite::register(site);
        }
        site
    }

    /// Whether any subscriber may be interested, of this or of another thread.
    pub(crate) fn may_be_enabled(&self) -> bool {
        self.interest.load(Ordering::Relaxed) != NEVER
    }

    /// Whether the current subscriber is interested.
    pub(crate) fn is_enabled(&self) -> bool {
        match self.interest.load(Ordering::Relaxed) {
            NEVER => false,
            ALWAYS => true,
            _ => dispatcher::get_default(|dispatch| dispatch.enabled(self.metadata())),
        }
    }

    fn definition(&self) -> &Definition {
        self.definition.get().expect("set before the site is shared")
    }
}

impl Callsite for Site {
    fn set_interest(&self, interest: Interest) {
        let interest = if interest.is_never() {
            NEVER
        } else if interest.is_always() {
            ALWAYS
        } else {
            SOMETIMES
        };
        self.interest.store(interest, Ordering::Relaxed);
    }

    fn metadata(&self) -> &Metadata<'_> {
        &self.definition().metadata
    }
}

/// The values of one event. Keys without a value are left out.
pub(crate) struct Line<'v> {
    site: &'static Definition,
    values: [(&'static Field, Option<&'v dyn Value>); MAX_KEYS],
}

impl<'v> Line<'v> {
    pub(crate) fn new(site: &'static Site) -> Self {
        let site = site.definition();
        Self { site, values: [(&site.fields[0], None); MAX_KEYS] }
    }

    pub(crate) fn set(&mut self, key: Key, value: &'v dyn Value) {
        self.set_at(key as usize, value);
    }

    /// Sets the value of an extra key.
    pub(crate) fn set_extra(&mut self, index: usize, value: &'v dyn Value) {
        self.set_at(Key::NAMES.len() + index, value);
    }

    fn set_at(&mut self, index: usize, value: &'v dyn Value) {
        self.values[index] = (&self.site.fields[index], Some(value));
    }

    /// Emits a root event: inside a span, formatters would render the span's fields again.
    pub(crate) fn emit(self) {
        let metadata = &self.site.metadata;
        Event::child_of(None, metadata, &metadata.fields().value_set(&self.values));
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("metadata", &self.definition().metadata)
            .finish_non_exhaustive()
    }
}
