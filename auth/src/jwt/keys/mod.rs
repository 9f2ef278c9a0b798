//! The keys of an issuer: where they come from, and how they are kept up to date.

pub(crate) mod asking;
pub(crate) mod events;
pub(crate) mod key;
mod places;
pub(crate) mod readiness;
pub(crate) mod refresh;
mod schedule;
pub(crate) mod source;
pub(crate) mod store;
#[cfg(test)]
mod store_tests;
