//! What the hook gets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use tonic::Code;
use tonic_call::{Peer, Rpc};

/// The decision for one call: see [`RateLimitBuilder::on_decision`](crate::RateLimitBuilder::on_decision).
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    pub(crate) reason: Option<Reason>,
    pub(crate) shadow: bool,
    pub(crate) rpc: &'a Rpc,
    pub(crate) limit: &'a str,
    pub(crate) key: &'static str,
    pub(crate) remaining: u32,
    pub(crate) wait: Option<Duration>,
    pub(crate) source: Source,
    pub(crate) extensions: &'a Extensions,
}

/// Why a call is refused: the `reason` of the `google.rpc.ErrorInfo` that the caller gets. Fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// A quota is used up.
    RateLimited,
    /// The caller has too many calls in flight.
    ConcurrencyLimited,
    /// The server has too many calls in flight.
    Overloaded,
    /// The store of a shared quota is away, and the layer refuses calls meanwhile.
    LimiterUnavailable,
}

/// What has decided about a call: this process, or a store that replicas share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// This process.
    Local,
    /// Redis.
    Redis,
    /// What Redis has said about an earlier call, with `RedisStore::remember_refusals`.
    Remembered,
    /// Nothing: the store of a shared quota is away, and calls pass meanwhile.
    Open,
    /// Nothing: the store of a shared quota is away, and calls are refused meanwhile.
    Closed,
}

pub(crate) type Hook = Arc<dyn Fn(&Decision<'_>) + Send + Sync>;

impl Reason {
    /// The reason as text: `RATE_LIMITED`, `CONCURRENCY_LIMITED`, `OVERLOADED` or `LIMITER_UNAVAILABLE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "RATE_LIMITED",
            Self::ConcurrencyLimited => "CONCURRENCY_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::LimiterUnavailable => "LIMITER_UNAVAILABLE",
        }
    }

    /// The status code: `UNAVAILABLE` if the server is overloaded or cannot decide, `RESOURCE_EXHAUSTED` if the caller
    /// exceeds its limit.
    pub fn code(self) -> Code {
        match self {
            Self::RateLimited | Self::ConcurrencyLimited => Code::ResourceExhausted,
            Self::Overloaded | Self::LimiterUnavailable => Code::Unavailable,
        }
    }
}

impl Source {
    /// The source as text, fit for a metric label: `local`, `redis`, `remembered`, `open` or `closed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Redis => "redis",
            Self::Remembered => "remembered",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl<'a> Decision<'a> {
    /// Why the call was refused, or [would have been](Self::is_shadow); `None` if it passed.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The decision as text, fit for a metric label: `passed`, or the [reason](Reason::as_str).
    pub fn result(&self) -> &'static str {
        self.reason.map_or("passed", Reason::as_str)
    }

    /// Whether this is a shadow limit that would have refused the call. The call goes on.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// The method that was called. Callers can send any name.
    pub fn rpc(&self) -> &'a Rpc {
        self.rpc
    }

    /// The name of the limit that refused the call; of several with the same reason, the one with the longest wait.
    /// For a call that passed, the limit that has the fewest calls left. Fit for a metric label, together with one
    /// for the method: limits of several rules can have the same default name.
    pub fn limit(&self) -> &'a str {
        self.limit
    }

    /// The kind of the limit's key: `global`, `peer`, `principal`, `metadata` or `function`.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// How many more calls of cost 1 can pass that limit now, with this key.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// When the refused call can pass; `None` if that is not known, or it never can.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// What has decided: a shared quota can be decided by Redis or, while that is away, by its fallback.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The peer of the connection. Do not use it as a label.
    pub fn peer(&self) -> Option<Peer> {
        Peer::of(self.extensions)
    }
}

impl fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("result", &self.result())
            .field("shadow", &self.shadow)
            .field("rpc", self.rpc)
            .field("limit", &self.limit)
            .field("key", &self.key)
            .field("remaining", &self.remaining)
            .field("wait", &self.wait)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
