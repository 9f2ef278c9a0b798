//! The log: one line per call on the standard error if `RUST_LOG` is set, and otherwise invisible. It is on in both
//! cases, so that the layers do their work.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Installs the subscriber of this process.
pub(crate) fn install() {
    let (filter, writer) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, BoxMakeWriter::new(io::stderr)),
        Err(_) => (EnvFilter::new("info"), BoxMakeWriter::new(io::sink)),
    };
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(writer).init();
}
