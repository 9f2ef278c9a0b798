//! The settings of a layer, and the limits that it enforces now.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use tonic_call::{Methods, TrustedProxies};

use crate::build_error::BuildError;
use crate::clock::Clock;
use crate::decide::{Hints, Hook, Seeds};
use crate::limits::{Limits, Sharing, Table, Usage};

/// The short name of this layer, in logs and metrics.
pub(crate) const LAYER: &str = "ratelimit";

pub(crate) struct Settings {
    pub(crate) table: ArcSwap<Table>,
    /// Locked while the table is replaced, since the new one takes over state of the previous one.
    pub(crate) replacing: Mutex<()>,
    pub(crate) methods: Option<Methods>,
    pub(crate) max_keys: usize,
    pub(crate) include_infrastructure: bool,
    pub(crate) proxies: TrustedProxies,
    pub(crate) domain: String,
    pub(crate) fields_on_accepted: bool,
    pub(crate) clock: Clock,
    pub(crate) hook: Option<Hook>,
    #[cfg(feature = "redis")]
    pub(crate) store: Option<crate::shared::RedisStore>,
    pub(crate) seeds: Seeds,
    pub(crate) hints: Hints,
    /// Whether a refused CORS preflight was logged.
    pub(crate) warned_of_preflights: AtomicBool,
}

impl Settings {
    pub(crate) fn usage(&self) -> Vec<Usage> {
        self.table.load().usage(self.clock.now())
    }

    pub(crate) fn replace(&self, limits: &Limits) -> Result<(), BuildError> {
        let _lock = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.table.load();
        let methods = self.methods.as_ref();
        #[cfg(feature = "redis")]
        let sharing = Sharing::of(self.store.as_ref());
        #[cfg(not(feature = "redis"))]
        let sharing = Sharing::default();
        let table = Table::new(limits, methods, self.max_keys, sharing, Some(&previous))?;
        self.table.store(table.into());
        Ok(())
    }
}
