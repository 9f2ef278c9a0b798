//! The log on standard error: one line per event.

mod short_line;
pub mod writer;

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use tonic_logging_layer::json::{JsonEvents, JsonFields};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use short_line::ShortLine;
use writer::stderr;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object per line
    Json,
    /// One short line per call, for people
    Pretty,
    /// All fields of a call, for people
    Full,
    /// No log
    Off,
}

/// The format of this process, if it is a server.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// Formats a text that is written to standard error regardless of the log's filter, such as why the process ends:
/// as one line of JSON if the log is JSON.
pub fn line(level: Level, text: &str) -> String {
    match FORMAT.get() {
        Some(Format::Json) => json_line(level, text),
        _ => format!("{}\n", text.trim_end()),
    }
}

/// The text as one line of JSON, with the keys of the log's own lines.
pub(crate) fn json_line(level: Level, text: &str) -> String {
    let mut timestamp = String::new();
    // Writing to a string does not fail.
    _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let (level, message) = (level.as_str(), text.trim_end());
    let line = serde_json::json!({
        "timestamp": timestamp, "level": level, "message": message, "target": "orders",
    });
    format!("{line}\n")
}

/// Starts the log of a server: level `info`, unless `RUST_LOG` is set.
pub fn init_server(format: Option<Format>) {
    let default = if std::io::stderr().is_terminal() { Format::Pretty } else { Format::Json };
    let format = *FORMAT.get_or_init(|| format.unwrap_or(default));
    init(format, filter("info"), stderr);
}

/// Starts the log of a client: warnings, unless `RUST_LOG` is set; if `verbose`, also the lines of the logging
/// layer, and the states of connections.
pub fn init_client(verbose: bool) {
    let filter = filter("warn,tonic_logging_layer=off,tonic_balance=off");
    let reports = if verbose { &VERBOSE[..] } else { &[] };
    let reports = reports.iter().filter_map(|directive| directive.parse().ok());
    init(Format::Full, reports.fold(filter, EnvFilter::add_directive), stderr);
}

/// Starts the log of a client that shows the lines of its calls itself: `lines` receives all of [`VERBOSE`] as JSON,
/// whatever `RUST_LOG` is.
pub(crate) fn init_captured(lines: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let reports = VERBOSE.iter().filter_map(|directive| directive.parse().ok());
    init(Format::Json, reports.fold(EnvFilter::new("warn"), EnvFilter::add_directive), lines);
}

/// What `--verbose` logs. Of a connection: that it is ready, lost, or has failed, but not each attempt.
const VERBOSE: [&str; 2] = ["tonic_logging_layer=debug", "tonic_balance=info"];

/// The filter of `RUST_LOG`; the default if it is unset, empty or invalid.
fn filter(default: &str) -> EnvFilter {
    let variable =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let variable = variable.map(|text| EnvFilter::try_new(&text).map_err(|error| (text, error)));
    match variable {
        Some(Ok(filter)) => filter,
        Some(Err((text, error))) => {
            // The log is not started yet.
            let text = format!("RUST_LOG={text:?} is invalid ({error}): using {default:?}");
            _ = stderr().write_all(line(Level::WARN, &text).as_bytes());
            EnvFilter::new(default)
        }
        None => EnvFilter::new(default),
    }
}

fn init(
    format: Format,
    filter: EnvFilter,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        )
        // An error of standard error would be reported to standard error, and panic.
        .log_internal_errors(false);
    match format {
        Format::Json => lines
            .fmt_fields(JsonFields::new())
            .event_format(JsonEvents::new().with_span_list(false))
            .init(),
        Format::Pretty => lines.event_format(ShortLine).init(),
        Format::Full => lines.init(),
        Format::Off => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_several_lines_is_one_line_of_json() {
        let line = json_line(Level::ERROR, "thread 'x' panicked: \"y\"\n  at z\n");
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["message"], "thread 'x' panicked: \"y\"\n  at z");
    }
}
