//! Events whose keys are chosen while the program runs.
//!
//! The macros of `tracing` fix an event's keys when it is compiled. Ours depend on how the layer is
//! built, so its call sites are made by hand: once for each set of keys, and kept for ever, as those
//! of the macros are.

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

use crate::key::{Key, OF_LAYERS};

/// The target of all events of this crate.
pub(crate) const TARGET: &str = "tonic_logging_layer";

/// How many keys an event can have. As many values lie on the stack while it is written.
pub(crate) const KEYS_AT_MOST: usize = 64 + OF_LAYERS.len();

/// One kind of event, at one level, with one set of keys.
pub(crate) struct Site {
    made: OnceLock<Made>,
    interest: AtomicU8,
}

struct Made {
    metadata: Metadata<'static>,
    fields: Vec<Field>,
}

const NEVER: u8 = 0;
const SOMETIMES: u8 = 1;
const ALWAYS: u8 = 2;

type Sites = HashMap<(&'static str, Level, Vec<&'static str>), &'static Site>;

/// All that were ever made: a program makes few layers, but a test makes many.
static SITES: LazyLock<Mutex<Sites>> = LazyLock::new(Mutex::default);

impl Site {
    /// The site of events of that name and level that have these keys behind those of every event.
    pub(crate) fn of(name: &'static str, level: Level, extra: &[&'static str]) -> &'static Self {
        let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
        sites.entry((name, level, extra.to_vec())).or_insert_with(|| Self::made(name, level, extra))
    }

    fn made(name: &'static str, level: Level, extra: &[&'static str]) -> &'static Self {
        let keys: Vec<_> = Key::NAMES.into_iter().chain(extra.iter().copied()).collect();
        let site: &'static Self =
            Box::leak(Box::new(Self { made: OnceLock::new(), interest: AtomicU8::new(NEVER) }));
        site.made.get_or_init(|| {
            let keys = FieldSet::new(keys.leak(), Identifier(site));
            let metadata = Metadata::new(name, TARGET, level, None, None, None, keys, Kind::EVENT);
            Made { fields: metadata.fields().iter().collect(), metadata }
        });
        // A level that is compiled out is out for these events, too.
        if level <= STATIC_MAX_LEVEL {
            callsite::register(site);
        }
        site
    }

    /// Whether anybody may listen, now or on another thread.
    pub(crate) fn may_be_heard(&self) -> bool {
        self.interest.load(Ordering::Relaxed) != NEVER
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        match self.interest.load(Ordering::Relaxed) {
            NEVER => false,
            ALWAYS => true,
            _ => dispatcher::get_default(|dispatch| dispatch.enabled(self.metadata())),
        }
    }

    fn get(&self) -> &Made {
        self.made.get().expect("made before anybody sees it")
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
        &self.get().metadata
    }
}

/// The values of one event. Those that are not set are left out.
pub(crate) struct Line<'v> {
    site: &'static Made,
    values: [(&'static Field, Option<&'v dyn Value>); KEYS_AT_MOST],
}

impl<'v> Line<'v> {
    pub(crate) fn new(site: &'static Site) -> Self {
        let site = site.get();
        Self { site, values: [(&site.fields[0], None); KEYS_AT_MOST] }
    }

    pub(crate) fn set(&mut self, key: Key, value: &'v dyn Value) {
        self.set_at(key as usize, value);
    }

    /// Sets what stands behind the keys of every event.
    pub(crate) fn set_extra(&mut self, place: usize, value: &'v dyn Value) {
        self.set_at(Key::NAMES.len() + place, value);
    }

    fn set_at(&mut self, index: usize, value: &'v dyn Value) {
        self.values[index] = (&self.site.fields[index], Some(value));
    }

    /// Emits it as a root event: inside a span the formatter would render the span's fields again.
    pub(crate) fn emit(self) {
        let metadata = &self.site.metadata;
        Event::child_of(None, metadata, &metadata.fields().value_set(&self.values));
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("metadata", &self.get().metadata).finish_non_exhaustive()
    }
}
