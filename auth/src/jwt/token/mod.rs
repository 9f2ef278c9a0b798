//! What a token is made of, before any of it is trusted.

pub(crate) mod algorithm;
pub(crate) mod claims;
pub(crate) mod compact;
pub(crate) mod date;
pub(crate) mod fault;
pub(crate) mod header;
mod identity_claims;
pub(crate) mod json;
