#![doc = include_str!("../../docs/jwt.md")]

pub(crate) mod config;
pub(crate) mod keys;
pub(crate) mod token;
pub(crate) mod verify;

pub use self::config::builder::JwtBuilder;
pub use self::config::error::JwtError;
pub use self::config::issuer::Issuer;
#[cfg(feature = "jsonwebtoken")]
pub use self::config::jsonwebtoken::JsonwebtokenIssuer;
pub use self::keys::events::{FetchResult, KeysEvent, KeysStatus};
pub use self::keys::key::{Key, KeyError};
pub use self::keys::readiness::Readiness;
pub use self::token::algorithm::Algorithm;
pub use self::verify::authenticator::Jwt;
