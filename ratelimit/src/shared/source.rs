//! What decides while Redis does not.

/// Which decision calls get while Redis is away: see [`RedisStore::fallback`](crate::RedisStore::fallback).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// This replica enforces its share of each quota by itself: the quota divided by
    /// [`replicas`](crate::RedisStore::replicas).
    #[default]
    Local,
    /// Shared quotas let every call pass. Local limits still apply.
    Open,
    /// Calls that have a shared quota are refused with `UNAVAILABLE` and the reason `LIMITER_UNAVAILABLE`.
    Closed,
}

impl Fallback {
    /// `local`, `open` or `closed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}
