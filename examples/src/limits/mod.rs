//! Limits of the server: what `--limit`, `--limit-file`, `--in-flight` and `--behind` give, and their layers.

mod call_limits;
mod file;
mod gauges;
mod in_flight;
mod rate_limit;
mod redis;
mod reload;

pub use call_limits::CallLimits;
pub use file::LimitFile;
pub(crate) use gauges::gauges;
pub(crate) use in_flight::DEFAULT_IN_FLIGHT;
pub use in_flight::InFlightLimit;
pub use rate_limit::{AppliesTo, RateLimit};
#[cfg(test)]
pub(crate) use rate_limit::{DEFAULT, DEFAULT_WITHOUT_AUTH};
pub(crate) use redis::set_buckets;
pub use redis::{RedisConfig, RedisFallback};
