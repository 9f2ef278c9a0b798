//! JSON Web Tokens: their rules, their keys, and the cache of a verifier.

#![cfg(feature = "jwt")]
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../jwt_support/mod.rs"]
mod jwt_support;
#[cfg(feature = "http")]
#[path = "../jwt_support/key_server.rs"]
mod key_server;

#[cfg(feature = "jsonwebtoken")]
mod by_jsonwebtoken;
mod cache;
mod claims;
#[allow(clippy::needless_pass_by_value)]
mod cognito;
mod file;
mod foreign;
mod garbage;
mod kids;
mod last_token;
mod layer;
mod readiness;
#[cfg(feature = "api-keys")]
mod remembered;
mod rules;
#[cfg(feature = "http")]
mod server;
#[allow(clippy::needless_pass_by_value)]
mod tenants;
