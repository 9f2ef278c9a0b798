//! The flags of `orders token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::scope;
use crate::auth::DEV_KEY;
use crate::duration;

/// Maximum lifetime of a token of the development key.
pub(crate) const MAX_TTL: Duration = duration::MAX;

/// The flags of `orders token`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// Scope of the token: orders.read or orders.write; may be given more than once
    ///
    /// A token without a scope cannot call any method of the order service.
    #[arg(long, value_name = "SCOPE", value_parser = scope)]
    pub scope: Vec<String>,

    /// Lifetime of the token, such as 90s, 15m or 2h: rounded up to whole seconds, at most 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    pub ttl: Duration,

    /// File with the development key, which `orders serve` creates
    #[arg(long, value_name = "FILE", default_value = DEV_KEY)]
    pub dev_key: PathBuf,
}
