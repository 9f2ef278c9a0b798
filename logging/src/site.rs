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

#[cfg(feature = "json")]
use crate::emitting::Emitting;
#[cfg(feature = "json")]
use crate::json::object::QuotedKey;
use crate::key::{Key, LAYER_KEYS, MAX_EXTRA_KEYS};
use crate::member::{Line, MemberValue, Members, millis_of};

/// The target of all events of this crate.
pub(crate) const TARGET: &str = "tonic_logging_layer";

/// The number of keys of most events, and the largest one. Arrays of that many values are on the stack while an event is
/// emitted.
const USUAL_KEYS: usize = Key::NAMES.len() + LAYER_KEYS.len();
const MAX_KEYS: usize = Key::NAMES.len() + MAX_EXTRA_KEYS;

/// The call site of one event, at one level, with one set of keys.
pub(crate) struct Site {
    definition: OnceLock<Definition>,
    interest: AtomicU8,
}

struct Definition {
    metadata: Metadata<'static>,
    fields: Vec<Field>,
    /// The keys as JSON, in the same order.
    #[cfg(feature = "json")]
    quoted: Vec<QuotedKey>,
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
            #[cfg(feature = "json")]
            let quoted = keys.iter().map(|key| QuotedKey::new(key)).collect();
            let keys = FieldSet::new(keys.leak(), Identifier(site));
            let metadata = Metadata::new(name, TARGET, level, None, None, None, keys, Kind::EVENT);
            Definition {
                fields: metadata.fields().iter().collect(),
                metadata,
                #[cfg(feature = "json")]
                quoted,
            }
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

    /// Emits a root event: inside a span, formatters would render the span's fields again.
    pub(crate) fn emit(&'static self, line: &impl Line) {
        if self.definition().fields.len() <= USUAL_KEYS {
            self.emit_values::<USUAL_KEYS>(line);
        } else {
            self.emit_values::<MAX_KEYS>(line);
        }
    }

    fn emit_values<const KEYS: usize>(&'static self, line: &impl Line) {
        let Definition { metadata, fields, .. } = self.definition();
        let mut members = EventMembers([None; KEYS]);
        line.list(&mut members);
        let mut values: [(&Field, Option<&dyn Value>); KEYS] = [(&fields[0], None); KEYS];
        for ((value, field), member) in values.iter_mut().zip(fields).zip(&members.0) {
            *value = (field, member.as_ref().and_then(MemberValue::as_value));
        }
        #[cfg(feature = "json")]
        let _emitting = Emitting::start(metadata, self.quoted_keys());
        Event::child_of(None, metadata, &metadata.fields().value_set(&values));
    }

    /// Not `metadata`, which the trait [`Callsite`] has.
    #[cfg(feature = "json")]
    pub(crate) fn metadata_of(&self) -> &Metadata<'static> {
        &self.definition().metadata
    }

    #[cfg(feature = "json")]
    pub(crate) fn level(&self) -> Level {
        *self.definition().metadata.level()
    }

    /// The keys as JSON, by their indexes.
    #[cfg(feature = "json")]
    pub(crate) fn quoted_keys(&self) -> &[QuotedKey] {
        &self.definition().quoted
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

/// The values of one event, by the indexes of their keys. Keys without a value are left out.
struct EventMembers<'v, const KEYS: usize>([Option<MemberValue<'v>>; KEYS]);

impl<'v, const KEYS: usize> Members<'v> for EventMembers<'v, KEYS> {
    fn add(&mut self, index: usize, value: MemberValue<'v>) {
        self.0[index] = Some(match value {
            MemberValue::Millis(micros) => MemberValue::Float(millis_of(micros)),
            MemberValue::Ascii(text) => MemberValue::Text(str::from_utf8(text).unwrap_or_default()),
            value => value,
        });
    }
}

impl MemberValue<'_> {
    /// `None` for a value that has to be converted first.
    fn as_value(&self) -> Option<&dyn Value> {
        Some(match self {
            Self::Text(text) | Self::Plain(text) => text,
            Self::Unsigned(number) => number,
            Self::Signed(number) => number,
            Self::Float(number) => number,
            Self::Bool(value) => value,
            Self::Millis(_) | Self::Ascii(_) => return None,
        })
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("metadata", &self.definition().metadata)
            .finish_non_exhaustive()
    }
}
