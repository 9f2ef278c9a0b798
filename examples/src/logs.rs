//! What goes to standard error while the program runs: one line for each thing that happens.

mod short;

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use short::Short;

use crate::log_writer::stderr;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Json,
    /// For people: a call is one short line
    Pretty,
    /// For people, with all that is known of a call
    Full,
    /// There are none
    Off,
}

/// How lines look in this process, if it is a server.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// A text for standard error that must be there whatever the log lets through, such as why the process ends. It
/// is one line of JSON where all others are.
pub fn line(level: Level, text: &str) -> String {
    match FORMAT.get() {
        Some(Format::Json) => json_line(level, text),
        _ => format!("{}\n", text.trim_end()),
    }
}

/// The keys are those of the log's own lines.
pub(crate) fn json_line(level: Level, text: &str) -> String {
    let mut timestamp = String::new();
    // It fails only where it cannot be written to: this can.
    _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let (level, message) = (level.as_str(), text.trim_end());
    let line = serde_json::json!({
        "timestamp": timestamp, "level": level, "message": message, "target": "orders",
    });
    format!("{line}\n")
}

/// What a server does, from `info` on, unless the environment's `RUST_LOG` says otherwise.
pub fn of_a_server(format: Option<Format>) {
    let by_itself = if std::io::stderr().is_terminal() { Format::Pretty } else { Format::Json };
    let format = *FORMAT.get_or_init(|| format.unwrap_or(by_itself));
    start(format, wanted("info"));
}

/// What goes wrong, unless the environment's `RUST_LOG` says otherwise; and what the logging layer says
/// if that is wanted.
pub fn of_a_call(verbose: bool) {
    let filter = wanted("warn,tonic_logging_layer=off");
    let shown = "tonic_logging_layer=debug".parse().ok().filter(|_| verbose);
    // Whoever asks for it wants to know more than that the call has failed.
    start(Format::Full, shown.into_iter().fold(filter, EnvFilter::add_directive));
}

/// What `RUST_LOG` asks for; the default if it is not there, empty, or makes no sense.
fn wanted(default: &str) -> EnvFilter {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|text| !text.trim().is_empty());
    let asked = asked.map(|text| EnvFilter::try_new(&text).map_err(|error| (text, error)));
    match asked {
        Some(Ok(filter)) => filter,
        Some(Err((text, error))) => {
            // There is no log yet. If nobody reads standard error, there is nobody to tell.
            let text = format!("RUST_LOG={text:?} makes no sense ({error}): using {default:?}");
            _ = stderr().write_all(line(Level::WARN, &text).as_bytes());
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
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        )
        // It would complain on standard error that standard error cannot be written, and panic there.
        .log_internal_errors(false);
    match format {
        // Nested, a reader would have to know which keys are inside.
        Format::Json => lines.json().flatten_event(true).with_span_list(false).init(),
        Format::Pretty => lines.event_format(Short).init(),
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
