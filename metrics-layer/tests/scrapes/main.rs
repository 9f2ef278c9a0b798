//! The exporter, and the text that Prometheus scrapes.

#![allow(clippy::unwrap_used)]

#[path = "../every_family/mod.rs"]
mod every_family;

mod exporter;
mod text;
