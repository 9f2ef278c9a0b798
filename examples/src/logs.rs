//! What goes to standard error while the program runs: one line for each thing that happens.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Json,
    /// For people
    Pretty,
    /// There are none
    Off,
}

/// What a server does, from `info` on, unless the environment's `RUST_LOG` says otherwise.
pub fn of_a_server(format: Option<Format>) {
    let by_itself = if stderr().is_terminal() { Format::Pretty } else { Format::Json };
    start(format.unwrap_or(by_itself), "info");
}

/// What goes wrong, and what the logging layer says if that is wanted.
pub fn of_a_call(verbose: bool) {
    let level = if verbose { "debug" } else { "off" };
    start(Format::Pretty, &format!("warn,tonic_logging_layer={level}"));
}

fn start(format: Format, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        // It would complain on standard error that standard error cannot be written, and panic there.
        .log_internal_errors(false);
    match format {
        // Nested, a reader would have to know which keys are inside.
        Format::Json => lines.json().flatten_event(true).with_span_list(false).init(),
        Format::Pretty => lines.init(),
        Format::Off => {}
    }
}
