//! Quotas that several replicas share, in Redis.

mod connection;
mod digest;
mod error;
mod link;
#[cfg(test)]
mod million;
mod nodes;
mod refusals;
mod script;
mod sentinels;
mod server;
mod slot;
mod source;
mod store;
mod tls;

pub use self::error::StoreError;
pub use self::source::Fallback;
pub use self::store::RedisStore;

pub(crate) use self::digest::KeyDigest;
pub(crate) use self::refusals::Refusals;
pub(crate) use self::script::Ask;
