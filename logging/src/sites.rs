//! All call sites of one layer.

use tonic_call::AllowedMetadata;
use tracing::Level;

use crate::key::{self, Key, OF_LAYERS, REQUEST_METADATA, RESPONSE_METADATA};
use crate::level::{LEVELS, place};
use crate::settings::Settings;
use crate::site::{KEYS_AT_MOST, Site};

/// All call sites of one layer.
pub(crate) struct Sites {
    finished: [&'static Site; LEVELS.len()],
    pub(crate) starts: Option<&'static Site>,
    pub(crate) messages: Option<&'static Site>,
    /// The keys behind those of every line: of metadata first, then of declared fields, then of what layers add.
    extra: Vec<&'static str>,
    of_metadata: usize,
}

impl Sites {
    pub(crate) fn of(settings: &Settings) -> Self {
        let named = |before: &'static str, names: &AllowedMetadata| {
            let keys = names.names().iter().map(|name| key::kept(format!("{before}{name}")));
            keys.collect::<Vec<_>>()
        };
        let mut extra = named(REQUEST_METADATA, &settings.request_metadata);
        extra.extend(named(RESPONSE_METADATA, &settings.response_metadata));
        let room = KEYS_AT_MOST - Key::NAMES.len() - OF_LAYERS.len();
        let of_metadata = extra.len().min(room);
        extra.extend(&settings.fields);
        extra.truncate(room);
        for key in OF_LAYERS {
            if !extra[of_metadata..].contains(&key) {
                extra.push(key);
            }
        }
        Self {
            finished: LEVELS.map(|level| Site::of("finished call", level, &extra)),
            starts: settings.starts.map(|level| Site::of("started call", level, &extra)),
            messages: settings.messages.map(|level| Site::of("message", level, &extra)),
            extra,
            of_metadata,
        }
    }

    /// The place of a key of metadata behind those of every line, if there was room for it.
    pub(crate) fn metadata(&self, key: &str) -> Option<usize> {
        self.extra[..self.of_metadata].iter().position(|other| *other == key)
    }

    /// The same of a declared field, if it is one.
    pub(crate) fn declared(&self, key: &str) -> Option<usize> {
        let place = self.extra[self.of_metadata..].iter().position(|other| *other == key)?;
        Some(self.of_metadata + place)
    }

    pub(crate) fn finished(&self, level: Level) -> &'static Site {
        self.finished[place(level)]
    }

    /// Whether anybody may listen to any of them.
    pub(crate) fn may_be_heard(&self) -> bool {
        let all = self.finished.iter().chain(&self.starts).chain(&self.messages);
        all.into_iter().any(|site| site.may_be_heard())
    }
}
