use std::fmt;
use std::sync::Arc;

use super::settings::Settings;
use crate::build_error::BuildError;
use crate::limits::{Limits, Usage};

/// Replaces the limits of a layer while it runs, and reads how many keys they store: see
/// [`RateLimitLayer::handle`](crate::RateLimitLayer::handle).
#[derive(Clone)]
pub struct Handle(Arc<Settings>);

impl Handle {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self(settings)
    }

    /// Replaces all limits at once, for all later calls.
    ///
    /// A quota keeps its state if it is in a rule for the same method or service, and its rate, burst, key and name
    /// stay the same; its cost and shadow mode may change. A limit of calls in flight keeps its count if its key and
    /// name stay the same. A [function](crate::Key::function) is the same if the key is a clone. All other limits
    /// start without state.
    ///
    /// # Errors
    ///
    /// If one of the limits is invalid. The previous limits then stay in force.
    pub fn replace(&self, limits: impl Into<Limits>) -> Result<(), BuildError> {
        self.0.replace(&limits.into())
    }

    /// How many keys each limit stores, and whether its shared bucket is in use: for gauges and an alert.
    ///
    /// The time it takes does not depend on the number of keys.
    ///
    /// ```
    /// # use tonic_ratelimit_layer::{BuildError, Key, Quota, RateLimitLayer};
    /// let layer = RateLimitLayer::server(Quota::per_second(100).by(Key::principal())).build()?;
    /// let handle = layer.handle();
    /// for usage in handle.usage() {
    ///     println!("{} of {:?} keys, {}", usage.keys, usage.max_keys, usage.overflow_in_use);
    /// }
    /// # Ok::<(), BuildError>(())
    /// ```
    pub fn usage(&self) -> Vec<Usage> {
        self.0.usage()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").finish()
    }
}
