//! The flags of `orders serve` for limits that servers share.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use tonic_ratelimit_layer::RedisStore;

use super::help::LIMITS;
use super::values::positive;
use crate::limits::{RedisConfig, RedisFallback};

/// Redis, and what happens while it does not decide.
#[derive(Args, Clone, Debug)]
pub struct RedisArgs {
    /// Redis in which the rate limits are shared with other servers: redis://HOST:PORT
    ///
    /// The whole form is redis://USER:PASSWORD@HOST:PORT/DATABASE; rediss:// is with TLS. With a password, use the
    /// variable ORDERS_REDIS: other users of the machine can see command lines.
    #[arg(long, value_name = "URL", help_heading = LIMITS, value_parser = NonEmptyStringValueParser::new())]
    pub redis: Option<String>,

    /// File with the CAs that issue the certificate of Redis (PEM), for a URL rediss:// [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "redis", help_heading = LIMITS)]
    pub redis_ca: Option<PathBuf>,

    /// What decides while Redis does not: `local`, each server by itself; `open`, calls pass; `closed`, calls are
    /// refused with UNAVAILABLE
    #[arg(long, value_name = "local|open|closed", default_value = "local", hide_possible_values = true, help_heading = LIMITS)]
    pub redis_fallback: RedisFallback,

    /// Number of servers that share the limits: with --redis-fallback local each enforces such a part of them
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "redis", help_heading = LIMITS, value_parser = positive)]
    pub redis_replicas: u32,

    /// Refuse callers that have no call left without asking Redis again, until they have one
    #[arg(long, requires = "redis", help_heading = LIMITS)]
    pub redis_remember: bool,

    /// Report "not serving" to health checks while Redis does not decide
    #[arg(long, requires = "redis", help_heading = LIMITS)]
    pub redis_ready: bool,
}

impl RedisArgs {
    /// Where limits are shared, if they are. The error names the flag.
    pub(super) fn store(&self) -> Result<Option<RedisStore>, String> {
        let Some(url) = &self.redis else { return Ok(None) };
        let config = RedisConfig {
            url,
            ca: self.redis_ca.as_deref(),
            fallback: self.redis_fallback,
            replicas: self.redis_replicas,
            remember: self.redis_remember,
        };
        config.store().map(Some)
    }
}
