//! The formatter writes what tracing-subscriber's writes.

#![cfg(feature = "json")]
#![allow(clippy::unwrap_used)]

mod support;

mod equals_the_reference;
mod options_equal_the_reference;
mod property;
