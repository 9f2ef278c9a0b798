//! What goes to standard error while the program runs: one line for each thing that happens.

use std::io::{IsTerminal, Write, stderr};

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
    start(format.unwrap_or(by_itself), wanted("info"));
}

/// What goes wrong, unless the environment's `RUST_LOG` says otherwise; and what the logging layer says
/// if that is wanted.
pub fn of_a_call(verbose: bool) {
    let filter = wanted("warn,tonic_logging_layer=off");
    let shown = "tonic_logging_layer=debug".parse().ok().filter(|_| verbose);
    start(Format::Pretty, shown.into_iter().fold(filter, EnvFilter::add_directive));
}

/// What `RUST_LOG` asks for; the default if it is not there, empty, or makes no sense.
fn wanted(default: &str) -> EnvFilter {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let asked = asked.map(|text| EnvFilter::try_new(&text).map_err(|error| (text, error)));
    match asked {
        Some(Ok(filter)) => filter,
        Some(Err((text, error))) => {
            // There is no log yet. If nobody reads standard error, there is nobody to tell.
            _ = writeln!(stderr(), "RUST_LOG={text:?} makes no sense ({error}): using {default:?}");
            EnvFilter::new(default)
        }
        None => EnvFilter::new(default),
    }
}

fn start(format: Format, filter: EnvFilter) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(
            stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        )
        // It would complain on standard error that standard error cannot be written, and panic there.
        .log_internal_errors(false);
    match format {
        // Nested, a reader would have to know which keys are inside.
        Format::Json => lines.json().flatten_event(true).with_span_list(false).init(),
        Format::Pretty => lines.init(),
        Format::Off => {}
    }
}
