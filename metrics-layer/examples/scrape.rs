//! Prints a scrape in which every family has moved, for programs that check the format:
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
        Some(other) => return Err(format!("no names are called `{other}`").into()),
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    print!("{}", runtime.block_on(every_family::scrape(names))?);
    Ok(())
}
