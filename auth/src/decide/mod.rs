//! Decides each call: authenticates the caller, and checks the access rule of the method.

pub(crate) mod access;
mod answers;
#[cfg(feature = "api-keys")]
pub(crate) mod api_keys;
pub(crate) mod authenticate;
pub(crate) mod body;
pub(crate) mod build_error;
pub(crate) mod builder;
pub(crate) mod combined;
pub(crate) mod decision;
mod evaluate;
mod expiry;
pub(crate) mod failure;
pub(crate) mod function;
pub(crate) mod future;
pub(crate) mod identity;
pub(crate) mod incoming;
pub(crate) mod layer;
mod secrets;
pub(crate) mod service;
pub(crate) mod settings;
