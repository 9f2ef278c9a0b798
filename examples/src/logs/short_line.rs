//! The format `pretty`: short lines for people.

use std::fmt::{self, Debug};
use std::time::{SystemTime, UNIX_EPOCH};

use tonic_call::{sanitize, sanitize_lines};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// A call is one short line: time (UTC), level, method, code, duration, caller, and error. Other standard fields are
/// omitted; `--log full` has them. Any other event has its target, message and fields.
pub(super) struct ShortLine;

/// The target of the events of calls.
const CALLS: &str = "tonic_logging_layer";

const METHOD: &str = "rpc.method";
const CODE: &str = "rpc.response.status_code";
const PROTOCOL: &str = "grpc.protocol";
const DURATION: &str = "duration_ms";
const CALLER: [&str; 2] = ["enduser.id", "network.peer.address"];
const MESSAGE: &str = "grpc.status_message";
const ENDED_BY: &str = "grpc.ended_by";
const REFUSED_BY: &str = "grpc.refused_by";
const REASON: &str = "grpc.refused_reason";

/// Fields of a call that are shown elsewhere on its line, or omitted. Fields of handlers are not among them.
const OMITTED: [&str; 22] = [
    "message",
    "rpc.system.name",
    METHOD,
    CODE,
    "grpc.component",
    PROTOCOL,
    "grpc.method_type",
    DURATION,
    "grpc.request.messages",
    "grpc.request.bytes",
    "grpc.response.messages",
    "grpc.response.bytes",
    CALLER[0],
    CALLER[1],
    "network.peer.port",
    "grpc.timeout_ms",
    "user_agent.original",
    MESSAGE,
    ENDED_BY,
    REFUSED_BY,
    REASON,
    "span_id",
];

/// Printed on lines of its own.
const STACK: &str = "exception.stacktrace";

impl<S, N> FormatEvent<S, N> for ShortLine
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let colors = to.has_ansi_escapes();
        painted(&mut to, colors.then_some(DIM), &time(SystemTime::now()))?;
        to.write_char(' ')?;
        painted(&mut to, colors.then_some(color(level)), &format!("{level:>5}"))?;
        let target = event.metadata().target();
        match (fields.get(METHOD), fields.get(CODE)) {
            (Some(method), Some(code)) if target == CALLS => {
                write!(to, " {method} ")?;
                painted(&mut to, colors.then_some(color(level)), code)?;
                call(&mut to, &fields)?;
            }
            _ => {
                write!(to, " {target}: {}", fields.get("message").unwrap_or_default())?;
                fields.others(&mut to, &["message", "rpc.system.name", "grpc.component"])?;
                for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
                    if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                        && !fields.is_empty()
                    {
                        write!(to, " {fields}")?;
                    }
                }
            }
        }
        to.write_char('\n')?;
        match fields.stack {
            Some(stack) => writeln!(to, "{}", sanitize_lines(&stack)),
            None => Ok(()),
        }
    }
}

/// Writes what follows the method and the code.
fn call(to: &mut Writer<'_>, fields: &EventFields) -> fmt::Result {
    if let Some(took) = fields.get(DURATION).and_then(|ms| ms.parse().ok()) {
        write!(to, " {}", duration(took))?;
    }
    if let Some(protocol) = fields.get(PROTOCOL).filter(|protocol| *protocol != "grpc") {
        write!(to, " over {protocol}")?;
    }
    if let Some(caller) = CALLER.into_iter().find_map(|field| fields.get(field)) {
        write!(to, " {caller}")?;
    }
    if let Some(message) = fields.get(MESSAGE) {
        write!(to, " {message}")?;
    }
    match (fields.get(REFUSED_BY), fields.get(REASON), fields.get(ENDED_BY)) {
        (Some(by), Some(reason), _) => write!(to, " (refused by {by}: {reason})")?,
        (Some(by), None, _) => write!(to, " (refused by {by})")?,
        (None, _, Some(by)) if by != "service" => write!(to, " (ended by {by})")?,
        _ => {}
    }
    fields.others(to, &OMITTED)
}

fn duration(ms: f64) -> String {
    match ms {
        ..1.0 => format!("{:.0}µs", ms * 1_000.0),
        ..100.0 => format!("{ms:.1}ms"),
        ..1_000.0 => format!("{ms:.0}ms"),
        _ => format!("{:.2}s", ms / 1_000.0),
    }
}

/// `15:04:05.123Z`, without the date.
fn time(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, ms) = (since.as_secs() % 86_400, since.subsec_millis());
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}Z", seconds % 60)
}

const DIM: u8 = 2;

/// The colors of the format `full`.
fn color(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

fn painted(to: &mut Writer<'_>, color: Option<u8>, text: &str) -> fmt::Result {
    match color {
        Some(color) => write!(to, "\u{1b}[{color}m{text}\u{1b}[0m"),
        None => to.write_str(text),
    }
}

/// The fields of an event, as texts without control characters.
#[derive(Default)]
struct EventFields {
    all: Vec<(&'static str, String)>,
    stack: Option<String>,
}

impl EventFields {
    fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    /// Writes the fields that are not in `but`.
    fn others(&self, to: &mut Writer<'_>, but: &[&str]) -> fmt::Result {
        for (name, value) in self.all.iter().filter(|(name, _)| !but.contains(name)) {
            // Values formatted by `Debug` may already have quotes.
            let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
            if !is_quoted && (value.is_empty() || value.contains([' ', '"', '='])) {
                write!(to, " {name}={value:?}")?;
            } else {
                write!(to, " {name}={value}")?;
            }
        }
        Ok(())
    }

    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == STACK {
            self.stack = Some(value.to_owned());
        } else {
            self.all.push((field.name(), sanitize(value).into_owned()));
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("unharmed").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of these events, without the time.
    fn written(emit: impl FnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).event_format(ShortLine);
        let subscriber = lines.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, emit);
        let text = String::from_utf8(log.0.lock().expect("unharmed").clone()).expect("UTF-8");
        let line = |line: &str| match line.split_once("Z ") {
            Some((time, rest)) if time.len() == 12 => rest.to_owned(),
            _ => panic!("no time: {line}"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn a_call_is_one_short_line_with_what_failed_and_without_what_is_always_the_same() {
        let lines = written(|| {
            tracing::info!(
                target: "tonic_logging_layer", { rpc.system.name = "grpc", rpc.method = "orders.v1.OrderService/GetOrder",
                rpc.response.status_code = "NOT_FOUND", grpc.component = "server", grpc.protocol = "grpc",
                grpc.method_type = "unary", duration_ms = 1.204, grpc.request.messages = 1,
                grpc.request.bytes = 38, grpc.response.messages = 0, grpc.response.bytes = 0,
                network.peer.address = "192.0.2.7", network.peer.port = 51234,
                user_agent.original = "grpc-go/1.76.0", enduser.id = "ann",
                grpc.status_message = "no such\n\u{1b}[31m order", grpc.ended_by = "service",
                order.id = "4 711" }, "finished call"
            );
            tracing::warn!(
                target: "tonic_logging_layer", { rpc.system.name = "grpc", rpc.method = "a.B/C",
                rpc.response.status_code = "UNAUTHENTICATED", duration_ms = 0.04,
                network.peer.address = "::1", grpc.ended_by = "refusal", grpc.refused_by = "auth",
                grpc.refused_reason = "TOKEN_EXPIRED" }, "finished call"
            );
            tracing::info!(
                target: "tonic_logging_layer", { rpc.method = "a.B/C", rpc.response.status_code = "canceled",
                grpc.protocol = "connect", duration_ms = 61_500.0, grpc.ended_by = "caller" }, "finished call"
            );
        });
        assert_eq!(
            lines,
            [
                " INFO orders.v1.OrderService/GetOrder NOT_FOUND 1.2ms ann no such\\n\\u{1b}[31m order \
             order.id=\"4 711\"",
                " WARN a.B/C UNAUTHENTICATED 40µs ::1 (refused by auth: TOKEN_EXPIRED)",
                " INFO a.B/C canceled 61.50s over connect (ended by caller)",
            ]
        );
    }

    #[test]
    fn any_other_event_has_its_target_its_fields_and_those_of_its_spans() {
        let lines = written(|| {
            let _in = tracing::info_span!("call", request_id = "8f14").entered();
            tracing::error!(target: "orders::store", error = %"disk\nfull", tries = 2, "not written");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(
            line.starts_with("ERROR orders::store: not written error=disk\\nfull tries=2"),
            "{line}"
        );
        assert!(line.ends_with(" request_id=\"8f14\""), "{line}");
    }

    #[test]
    fn times_and_durations_are_short() {
        let at = UNIX_EPOCH + Duration::from_millis(86_400_000 * 3 + 54_245_007);
        assert_eq!(time(at), "15:04:05.007Z");
        let durations = [0.4, 0.9996, 5.0, 99.94, 250.0, 1_500.0].map(duration);
        assert_eq!(durations, ["400µs", "1000µs", "5.0ms", "99.9ms", "250ms", "1.50s"]);
    }
}
