//! The keys of an issuer: where they come from, and how they are kept up to date.

pub(crate) mod events;
pub(crate) mod key;
pub(crate) mod lookup;
pub(crate) mod readiness;
pub(crate) mod refresh;
mod schedule;
pub(crate) mod source;
pub(crate) mod store;
#[cfg(test)]
mod store_tests;
mod waiting;
