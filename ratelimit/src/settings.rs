//! How a layer was built, and the limits that it enforces now.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use tonic_call::{Methods, TrustedProxies};

use crate::build_error::BuildError;
use crate::caller::Seeds;
use crate::clock::Clock;
use crate::decision::Hook;
use crate::hints::Hints;
use crate::limits::Limits;
use crate::table::Table;
use crate::usage::Usage;

/// The short name of this layer, in logs and metrics.
pub(crate) const BY: &str = "ratelimit";

pub(crate) struct Settings {
    pub(crate) table: ArcSwap<Table>,
    /// Held while the table is replaced: what the one before kept is taken over.
    pub(crate) replacing: Mutex<()>,
    pub(crate) methods: Option<Methods>,
    pub(crate) keys_at_most: usize,
    pub(crate) include_infrastructure: bool,
    pub(crate) proxies: TrustedProxies,
    pub(crate) domain: String,
    pub(crate) fields_on_accepted: bool,
    pub(crate) clock: Clock,
    pub(crate) hook: Option<Hook>,
    pub(crate) seeds: Seeds,
    pub(crate) hints: Hints,
    /// Whether an operator was told that CORS preflights are refused.
    pub(crate) told_of_preflights: AtomicBool,
}

impl Settings {
    pub(crate) fn usage(&self) -> Vec<Usage> {
        self.table.load().usage(self.clock.now())
    }

    pub(crate) fn replace(&self, limits: &Limits) -> Result<(), BuildError> {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load();
        let methods = self.methods.as_ref();
        let table = Table::new(limits, methods, self.keys_at_most, Some(&before))?;
        self.table.store(table.into());
        Ok(())
    }
}
