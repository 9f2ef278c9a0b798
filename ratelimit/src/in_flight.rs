use std::fmt;
use std::time::Duration;

use crate::key::Key;

/// How many calls may be under way at a time.
///
/// A call counts until it is really over: until its trailers are handed on, its caller goes away, or it
/// panics. A stream counts as long as it lives, also while its caller reads nothing.
///
/// ```
/// use tonic_ratelimit_layer::{InFlight, Key};
///
/// let of_the_server = InFlight::new(1_000);
/// let of_a_caller = InFlight::new(10).by(Key::principal());
/// ```
#[derive(Clone)]
pub struct InFlight {
    pub(crate) at_most: u32,
    pub(crate) key: Key,
    name: Option<String>,
    pub(crate) shadow: bool,
    pub(crate) per_method: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl InFlight {
    /// So many calls at a time, of all callers together. One more is refused `UNAVAILABLE`.
    ///
    /// It counts the calls of its rule. One for the whole server, whatever rules its methods have, is a layer
    /// of its own, with this as default.
    #[must_use]
    pub fn new(at_most: u32) -> Self {
        Self {
            at_most,
            key: Key::global(),
            name: None,
            shadow: false,
            per_method: false,
            retry_after: None,
        }
    }

    /// So many calls at a time of each key. One more is refused `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn by(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// Names it, for callers, logs and the hook; by default by its key, `in-flight:principal`. Two limits
    /// of one rule can't have the same name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Only tries it out: it counts, and what it would refuse is reported, and let pass.
    #[must_use]
    pub fn shadow(self) -> Self {
        Self { shadow: true, ..self }
    }

    /// Counts the calls of each method that its rule is for by themselves; by default together. Needs
    /// [`methods`](crate::RateLimitBuilder::methods), as [`Quota::per_method`](crate::Quota::per_method).
    #[must_use]
    pub fn per_method(self) -> Self {
        Self { per_method: true, ..self }
    }

    /// Says when to come back to whom it refuses. By default a client is told not to retry: nobody knows
    /// when a call that runs will end, and retries are the last that a full server needs.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    pub(crate) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("in-flight:{}", self.key.kind()))
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        (self.at_most == 0).then(|| "lets nothing pass: 0 calls in flight".to_owned())
    }

    /// What it lets pass, in words.
    pub(crate) fn words(&self) -> String {
        let calls = if self.at_most == 1 { "call" } else { "calls" };
        format!("{} {calls} at a time", self.at_most)
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("at_most", &self.at_most)
            .field("key", &self.key)
            .field("name", &self.name())
            .field("shadow", &self.shadow)
            .finish_non_exhaustive()
    }
}
