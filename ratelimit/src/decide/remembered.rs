//! Refuses calls by what Redis has said about earlier ones.

use super::decision::Source;
use super::take::{Check, Verdict};
use crate::shared::Refusals;

impl Check<'_> {
    /// Whether Redis would refuse the call, as far as it has said on this connection.
    ///
    /// No call makes a burst full again sooner, so what was known before still holds.
    pub(super) fn is_refused_by_memory(&mut self, connection: u64, now: u64) -> bool {
        let full = self.refusals().and_then(|refusals| refusals.full(self.key, connection));
        let Some(full) = full else { return false };
        (self.source, self.state) = (Source::Remembered, Some(full));
        self.verdict = self.verdict(now);
        let is_refused = self.refused().is_some();
        if !is_refused {
            // Whatever decides begins anew.
            (self.source, self.state, self.verdict) = (Source::Local, None, Verdict::Allowed(None));
        }
        is_refused
    }

    /// Remembers what Redis has decided, if its quota has no call left for this key. `asked` is when Redis was asked.
    pub(super) fn remember(&self, connection: u64, asked: u64, now: u64) {
        let (Some(refusals), Some(state)) = (self.refusals(), self.state) else { return };
        if self.refused().is_some() || self.remaining(now) == 0 {
            // Redis has read its clock after it was asked: what is remembered must not be later than the truth.
            let full = state.saturating_sub(now.saturating_sub(asked));
            refusals.remember(self.key, full, connection, now);
        }
    }

    fn refusals(&self) -> Option<&Refusals> {
        self.limit.share.as_ref()?.refusals.as_ref()
    }
}
