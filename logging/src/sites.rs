//! The call sites of one layer.

use tracing::Level;

use crate::level::{LEVELS, index_of};
use crate::site::Site;

/// The call sites of one layer.
pub(crate) struct Sites {
    finished: [&'static Site; LEVELS.len()],
    pub(crate) starts: Option<&'static Site>,
    pub(crate) messages: Option<&'static Site>,
}

impl Sites {
    /// The sites of lines with these extra keys, for calls that start and for messages at these levels.
    pub(crate) fn new(
        extra: &[&'static str],
        starts: Option<Level>,
        messages: Option<Level>,
    ) -> Self {
        let site = |name, level| Site::of(name, level, extra);
        Self {
            finished: LEVELS.map(|level| site("finished call", level)),
            starts: starts.map(|level| site("started call", level)),
            messages: messages.map(|level| site("message", level)),
        }
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
