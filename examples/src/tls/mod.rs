//! TLS of the server: its files, handshakes, and metrics.

mod failures;
mod files;
mod gauges;
mod handshake;
mod metrics;
mod reload;

pub use files::{ClientCertificates, TlsFiles};
pub use handshake::Tls;
