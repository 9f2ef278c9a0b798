//! All call sites of one layer.

use tonic_call::AllowedMetadata;
use tracing::Level;

use crate::key::{self, Key, REQUEST_METADATA, RESPONSE_METADATA};
use crate::level::{LEVELS, place};
use crate::settings::Settings;
use crate::site::{KEYS_AT_MOST, Site};

/// All call sites of one layer.
pub(crate) struct Sites {
    finished: [&'static Site; LEVELS.len()],
    pub(crate) starts: Option<&'static Site>,
    pub(crate) messages: Option<&'static Site>,
    /// The keys behind those of every line: of metadata, and of declared fields.
    pub(crate) extra: Vec<&'static str>,
}

impl Sites {
    pub(crate) fn of(settings: &Settings) -> Self {
        let named = |before: &'static str, names: &AllowedMetadata| {
            let keys = names.names().iter().map(|name| key::kept(format!("{before}{name}")));
            keys.collect::<Vec<_>>()
        };
        let mut extra = named(REQUEST_METADATA, &settings.request_metadata);
        extra.extend(named(RESPONSE_METADATA, &settings.response_metadata));
        extra.extend(&settings.fields);
        extra.truncate(KEYS_AT_MOST - Key::NAMES.len());
        Self {
            finished: LEVELS.map(|level| Site::of("finished call", level, &extra)),
            starts: settings.starts.map(|level| Site::of("started call", level, &extra)),
            messages: settings.messages.map(|level| Site::of("message", level, &extra)),
            extra,
        }
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
