//! All call sites of one layer.

use std::fmt::Display;

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
    /// How many of the keys are the request's metadata, then how many the response's; declared
    /// fields are behind them.
    pub(crate) request_metadata: usize,
    pub(crate) response_metadata: usize,
    pub(crate) declared: Vec<&'static str>,
}

impl Sites {
    pub(crate) fn of(settings: &Settings) -> Self {
        let named = |before: &str, name: &dyn Display| key::kept(format!("{before}{name}"));
        let request = settings.request_metadata.names().iter();
        let response = settings.response_metadata.names().iter();
        let mut room = KEYS_AT_MOST - Key::NAMES.len();
        let mut fitting = |keys: Vec<&'static str>| {
            let keys: Vec<_> = keys.into_iter().take(room).collect();
            room -= keys.len();
            keys
        };
        let request = fitting(request.map(|name| named(REQUEST_METADATA, name)).collect());
        let response = fitting(response.map(|name| named(RESPONSE_METADATA, name)).collect());
        let declared = fitting(settings.fields.clone());
        let extra = [&*request, &*response, &*declared].concat();
        Self {
            finished: LEVELS.map(|level| Site::of("finished call", level, &extra)),
            starts: settings.starts.map(|level| Site::of("started call", level, &extra)),
            messages: settings.messages.map(|level| Site::of("message", level, &extra)),
            request_metadata: request.len(),
            response_metadata: response.len(),
            declared,
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
