//! Quotas that several replicas share, in Redis.

mod digest;
mod error;
mod link;
mod script;
mod source;
mod store;
mod tls;

pub use self::error::StoreError;
pub use self::source::Fallback;
pub use self::store::RedisStore;

pub(crate) use self::digest::KeyDigest;
pub(crate) use self::script::Ask;
