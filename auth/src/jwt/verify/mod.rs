//! Verifies tokens.

pub(crate) mod authenticator;
pub(crate) mod bound;
mod build;
pub(crate) mod cache;
pub(crate) mod compile_issuer;
#[cfg(feature = "jsonwebtoken")]
mod compile_jsonwebtoken;
mod last_token;
pub(crate) mod limiter;
#[cfg(test)]
mod vectors_tests;
pub(crate) mod verifier;
