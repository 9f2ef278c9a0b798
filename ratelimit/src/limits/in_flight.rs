use std::fmt;
use std::time::Duration;

use super::limit::Limit;

/// How many calls may run at the same time.
///
/// A call counts until it has really ended: until its trailers are sent, its caller disconnects, or it panics. A
/// stream counts while it is open, even if its caller reads nothing.
///
/// ```
/// use tonic_ratelimit_layer::{InFlight, Key};
///
/// let of_the_server = InFlight::new(1_000);
/// let of_a_caller = InFlight::new(10).by(Key::principal());
/// ```
pub type InFlight = Limit<Concurrency>;

/// What an [`InFlight`] limits: the number of calls that run at the same time.
#[derive(Clone, Debug)]
pub struct Concurrency {
    pub(crate) max: u32,
    pub(crate) retry_after: Option<Duration>,
}

impl Limit<Concurrency> {
    /// At most `max` calls at the same time, of all callers together. One more is refused with `UNAVAILABLE`; with
    /// a [key](Self::by), where `max` counts for each key, with `RESOURCE_EXHAUSTED`.
    ///
    /// It counts the calls of its rule. To limit all calls of the server, including those of methods that have rules,
    /// add a second layer with this limit as its default.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self::of(Concurrency { max, retry_after: None })
    }

    /// Sets when refused callers should retry. By default the refusal asks clients not to retry: the server does not
    /// know when a running call will end, and retries add load to a server that is full.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.measure.retry_after = Some(wait);
        self
    }
}

impl Concurrency {
    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        (self.max == 0).then(|| "lets nothing pass: 0 calls in flight".to_owned())
    }

    pub(crate) fn description(&self) -> String {
        let calls = if self.max == 1 { "call" } else { "calls" };
        format!("{} {calls} at a time", self.max)
    }

    /// The parameters of the `RateLimit-Policy` field.
    pub(crate) fn policy(&self) -> String {
        format!(";q={};qu=\"concurrent-requests\"", self.max)
    }
}

/// The first part of a limit's default name.
impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in-flight")
    }
}
