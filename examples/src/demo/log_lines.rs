//! Shows the log lines of one call.

use serde_json::Value;

use super::log::Entry;
use super::screen::{Look, Tone, wrap};

/// Fields in the first line.
const HEAD: [&str; 4] = ["timestamp", "level", "message", "target"];

/// Fields that come first of the others, in this order.
const FIRST: [&str; 4] = ["rpc.method", "rpc.response.status_code", "duration_ms", "grpc.ended_by"];

const INDENT: &str = "    ";

/// Each line as its program, its level and its message, and below them its fields.
pub(super) fn show(entries: &[Entry], look: Look, width: usize) -> Vec<String> {
    entries.iter().flat_map(|entry| one(entry, look, width)).collect()
}

fn one(entry: &Entry, look: Look, width: usize) -> Vec<String> {
    let level = entry.text("level");
    let tone = match level {
        "ERROR" | "WARN" => Tone::Bad,
        _ => Tone::Good,
    };
    let mut lines = vec![format!(
        "{} {} {}",
        look.paint(Tone::Dim, time(entry.text("timestamp"))),
        look.paint(tone, &format!("{level:>5}")),
        format_args!("{}: {}", entry.source, entry.text("message")),
    )];
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut fields: Vec<_> =
        entry.fields.iter().filter(|(name, _)| !HEAD.contains(&name.as_str())).collect();
    fields.sort_by_key(|(name, _)| rank(name));
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| field(name, value)).collect();
    let wrapped = wrap(&fields.join(" "), width.saturating_sub(INDENT.len()));
    lines.extend(wrapped.iter().map(|line| format!("{INDENT}{}", look.paint(Tone::Dim, line))));
    lines
}

fn field(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(' ') => format!("{name}={text}"),
        value => format!("{name}={value}"),
    }
}

/// The time of day, with milliseconds.
fn time(timestamp: &str) -> &str {
    timestamp.get(11..23).unwrap_or(timestamp)
}
