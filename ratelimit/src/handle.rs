use std::fmt;
use std::sync::Arc;

use crate::build_error::BuildError;
use crate::limits::Limits;
use crate::settings::Settings;
use crate::usage::Usage;

/// Replaces the limits of a layer while it runs, and reads how much they keep: see [`RateLimitLayer::handle`](crate::RateLimitLayer::handle).
#[derive(Clone)]
pub struct Handle(Arc<Settings>);

impl Handle {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self(settings)
    }

    /// Replaces all limits at once. Calls that come later are decided by the new ones.
    ///
    /// A quota that stays the same keeps what its callers have used up: one in a rule for the same method or
    /// service, of the same rate, burst, key and name; its cost may change, and whether it is in shadow
    /// mode. The number of calls in flight is kept if key and name stay the same. A [function](crate::Key::function)
    /// is the same if the key is a clone. All others begin anew.
    ///
    /// # Errors
    ///
    /// When something in them is wrong; those before then stay.
    pub fn replace(&self, limits: impl Into<Limits>) -> Result<(), BuildError> {
        self.0.replace(&limits.into())
    }
}

impl Handle {
    /// How many keys each limit keeps, and whether it had no room for more: for gauges, and an alert.
    ///
    /// It takes a moment for each limit, however many keys there are.
    ///
    /// ```
    /// # use tonic_ratelimit_layer::{BuildError, Key, Quota, RateLimitLayer};
    /// let layer = RateLimitLayer::server(Quota::per_second(100).by(Key::principal())).build()?;
    /// let handle = layer.handle();
    /// for usage in handle.usage() {
    ///     println!("{} of {:?} keys, {}", usage.keys, usage.keys_at_most, usage.overflow_in_use);
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
