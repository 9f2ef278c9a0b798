//! Prints a scrape with values in every family, to check the format with other programs:
//!
//! ```sh
//! cargo run -p tonic-metrics-layer --example scrape | promtool check metrics
//! cargo run -p tonic-metrics-layer --example scrape -- opentelemetry | …
//! ```
#![allow(clippy::print_stdout)]

#[path = "../tests/every_family/mod.rs"]
mod every_family;

use std::error::Error;

use tonic_metrics_layer::Names;

fn main() -> Result<(), Box<dyn Error>> {
    let names = match std::env::args().nth(1).as_deref() {
        None => Names::Prometheus,
        Some("opentelemetry") => Names::OpenTelemetry,
        Some("opentelemetry-next") => Names::OpenTelemetryNext,
        Some(other) => return Err(format!("unknown names: {other}").into()),
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    print!("{}", runtime.block_on(every_family::scrape(names))?);
    Ok(())
}
