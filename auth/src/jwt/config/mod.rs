//! What is configured: issuers, and what their tokens must contain.

pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod issuer;
#[cfg(feature = "jsonwebtoken")]
pub(crate) mod jsonwebtoken;
pub(crate) mod own_claims;
mod presets;
pub(crate) mod rules;
pub(crate) mod scopes;
pub(crate) mod tenants;
