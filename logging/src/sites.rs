//! The call sites of one layer.

use tonic_call::AllowedMetadata;
use tracing::Level;

use crate::key::{self, Key, LAYER_KEYS, REQUEST_METADATA, RESPONSE_METADATA};
use crate::level::{LEVELS, index_of};
use crate::settings::Settings;
use crate::site::{MAX_KEYS, Site};

/// The call sites of one layer.
pub(crate) struct Sites {
    finished: [&'static Site; LEVELS.len()],
    pub(crate) starts: Option<&'static Site>,
    pub(crate) messages: Option<&'static Site>,
    /// The extra keys: of metadata first, then of declared fields, then those of layers.
    extra: Vec<&'static str>,
    /// How many of them are keys of metadata.
    metadata: usize,
}

impl Sites {
    pub(crate) fn of(settings: &Settings) -> Self {
        let prefixed = |prefix: &'static str, names: &AllowedMetadata| {
            let keys = names.names().iter().map(|name| key::intern(format!("{prefix}{name}")));
            keys.collect::<Vec<_>>()
        };
        let mut extra = prefixed(REQUEST_METADATA, &settings.request_metadata);
        extra.extend(prefixed(RESPONSE_METADATA, &settings.response_metadata));
        let room = MAX_KEYS - Key::NAMES.len() - LAYER_KEYS.len();
        let metadata = extra.len().min(room);
        extra.extend(&settings.fields);
        extra.truncate(room);
        for key in LAYER_KEYS {
            if !extra[metadata..].contains(&key) {
                extra.push(key);
            }
        }
        Self {
            finished: LEVELS.map(|level| Site::of("finished call", level, &extra)),
            starts: settings.starts.map(|level| Site::of("started call", level, &extra)),
            messages: settings.messages.map(|level| Site::of("message", level, &extra)),
            extra,
            metadata,
        }
    }

    /// The index of a key of metadata among the extra keys, if there was room for it.
    pub(crate) fn metadata(&self, key: &str) -> Option<usize> {
        self.extra[..self.metadata].iter().position(|other| *other == key)
    }

    /// The index of the key of a declared field, or of a layer's field.
    pub(crate) fn declared(&self, key: &str) -> Option<usize> {
        let index = self.extra[self.metadata..].iter().position(|other| *other == key)?;
        Some(self.metadata + index)
    }

    pub(crate) fn finished(&self, level: Level) -> &'static Site {
        self.finished[index_of(level)]
    }

    /// Whether any subscriber may be interested in any of them.
    pub(crate) fn may_be_enabled(&self) -> bool {
        let all = self.finished.iter().chain(&self.starts).chain(&self.messages);
        all.into_iter().any(|site| site.may_be_enabled())
    }
}
