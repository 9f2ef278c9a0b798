//! The parts of a token, parsed and not verified yet.

pub(crate) mod algorithm;
pub(crate) mod claims;
pub(crate) mod compact;
pub(crate) mod date;
pub(crate) mod fault;
pub(crate) mod header;
mod identity_claims;
pub(crate) mod json;
