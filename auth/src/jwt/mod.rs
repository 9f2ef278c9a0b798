//! JSON Web Tokens: which are believed, and by which keys.

mod algorithm;
mod authenticator;
mod builder;
mod cache;
mod error;
mod events;
mod fault;
mod issuer;
mod key;
mod limiter;
mod refresh;
mod rules;
mod scopes;
mod source;
mod store;
#[cfg(test)]
mod store_tests;
mod token;
mod trust;
#[cfg(test)]
mod vectors_tests;
mod verifier;

pub use self::algorithm::Algorithm;
pub use self::authenticator::Jwt;
pub use self::builder::JwtBuilder;
pub use self::error::JwtError;
pub use self::events::{FetchResult, KeysEvent};
pub use self::issuer::Issuer;
pub use self::key::{Key, KeyError};
