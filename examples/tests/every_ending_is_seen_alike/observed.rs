//! What the log, the metrics and the span of one call show.

use std::sync::Once;

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use tonic_call::Side;
use tonic_logging_layer::LoggingLayer;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::log::{Capture, Lines, Seen, TARGET};
use crate::metrics::{Metrics, Series};
use crate::spans::{self, Traces};
use crate::table::Row;

/// How the three layers that observe are placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layers {
    InOnePass,
    Stacked,
}

/// The log of this thread: what the layers of this workspace log.
pub(crate) struct Log(pub(crate) Lines);

impl Log {
    pub(crate) fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let layers = Targets::new().with_target("tonic_", LevelFilter::TRACE);
            let subscriber = tracing_subscriber::registry().with(Capture.with_filter(layers));
            tracing::subscriber::set_global_default(subscriber).expect("the first");
        });
        Self(Lines::of_this_thread())
    }
}

/// Observes the calls of one server or one client.
pub(crate) struct Observed<'l> {
    side: Side,
    log: &'l Log,
    pub(crate) traces: Traces,
    pub(crate) metrics: Metrics,
}

impl<'l> Observed<'l> {
    pub(crate) fn new(side: Side, log: &'l Log) -> Self {
        log.0.take();
        Self { side, log, traces: Traces::new(), metrics: Metrics::new(side) }
    }

    pub(crate) fn logging(&self) -> LoggingLayer {
        crate::log::described(self.side)
    }

    /// Waits until the only call has ended.
    pub(crate) async fn until_ended(&self) {
        self.log.0.until_finished(1).await;
        self.traces.until_ended(1).await;
    }

    /// The row of the only call, after the checks that hold for every call.
    #[track_caller]
    pub(crate) fn row(&self, ending: &str, caller: String) -> Row {
        let events = self.log.0.take();
        let is_line = |event: &&Seen| event.target == TARGET;
        let lines: Vec<_> = events.iter().filter(is_line).collect();
        let [line] = lines[..] else { panic!("{ending}: one line, not {lines:#?}") };
        let spans = self.traces.spans();
        let [span] = &spans[..] else { panic!("{ending}: one span, not {spans:#?}") };
        let changed = self.metrics.changed(self.side);
        self.check(ending, line, span, &changed);
        check_caller(ending, &caller);
        Row {
            ending: ending.to_owned(),
            caller,
            log: log_cell(line, &events),
            metrics: metrics_cell(&changed),
            span: span_cell(span),
        }
    }

    #[track_caller]
    fn check(&self, ending: &str, line: &Seen, span: &SpanData, changed: &[Series]) {
        assert_eq!(line.message(), "finished call", "{ending}");
        assert_eq!(line.side(), crate::log::name_of(self.side), "{ending}");
        let kind = if self.side == Side::Server { SpanKind::Server } else { SpanKind::Client };
        assert_eq!(span.span_kind, kind, "{ending}");
        for (family, count) in [
            ("started_total", 1.0),
            ("handled_total", 1.0),
            ("handling_seconds_count", 1.0),
            ("in_flight", 0.0),
        ] {
            assert_eq!(Metrics::sum(changed, family), count, "{ending}: {family} in {changed:#?}");
        }
        let handled = changed.iter().find(|series| series.family == "handled_total").unwrap();
        let counted = handled.label("grpc_code").unwrap();
        assert_eq!(in_go(line.code()), counted, "{ending}: log and metrics");
        assert_eq!(line.code(), spans::code(span), "{ending}: log and span");
        let (requests, responses) = line.messages();
        let (received, sent) = match self.side {
            Side::Server => (requests, responses),
            Side::Client => (responses, requests),
        };
        for (family, count) in [("msg_received_total", received), ("msg_sent_total", sent)] {
            assert_eq!(Metrics::sum(changed, family), count as f64, "{ending}: {family}");
        }
        let panics = changed.iter().any(|series| series.family == "panics_total");
        // A panic in a destructor does not end the call: the caller has left, or it had ended before.
        assert!(panics || line.ended_by() != "panic", "{ending}: panics are counted");
        let refused = changed.iter().any(|series| {
            series.family == "refused_total" && series.label("shadow") == Some("false")
        });
        // A client has no series for refusals.
        let is_logged = line.text("grpc.refused_by").is_some() && self.side == Side::Server;
        assert_eq!(refused, is_logged, "{ending}: refusals are counted");
    }
}

/// The caller sees nothing of what only operators may see.
#[track_caller]
fn check_caller(ending: &str, caller: &str) {
    use crate::server::{KEY, PANICS, SECRET};
    let others = [KEY, SECRET, "/src/", "\\src\\", ".rs:", "eyJ"];
    for internal in PANICS.into_iter().chain(others) {
        assert!(!caller.contains(internal), "{ending}: the caller sees {internal:?}: {caller}");
    }
}

/// As the metrics layer spells codes by default. Codes of Connect calls have Connect's spelling in log and span.
fn in_go(code: &str) -> String {
    match code.to_uppercase().as_str() {
        "OK" => "OK".to_owned(),
        "CANCELLED" | "CANCELED" => "Canceled".to_owned(),
        code => {
            code.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect()
        }
    }
}

fn log_cell(line: &Seen, events: &[Seen]) -> String {
    let mut cell = format!("{} `{}` · {}", line.level, line.code(), line.ended_by());
    if let Some(by) = line.text("grpc.refused_by") {
        let reason = line.text("grpc.refused_reason").unwrap_or_default();
        cell += &format!(" · refused by {by}: `{reason}`");
    }
    if let Some(message) = line.text("grpc.status_message").filter(|text| !text.is_empty()) {
        cell += &format!(" · “{}”", stable(message));
    }
    let (requests, responses) = line.messages();
    cell += &format!(" · {requests} → {responses}");
    let others = events.iter().filter(|event| event.target != TARGET);
    for other in others.filter(|event| event.level <= tracing::Level::INFO) {
        cell += &format!("<br>+ {} “{}”", other.level, stable(other.message()));
        if let Some(message) = other.fields.get("exception.message").and_then(|text| text.as_str())
        {
            cell += &format!(" · `exception.message` “{}”", stable(message));
        }
    }
    cell
}

/// Families that [`Observed::check`] has checked, and that are the same in every row.
const IN_EVERY_ROW: [&str; 6] = [
    "started_total",
    "handling_seconds_count",
    "handling_seconds_sum",
    "handling_seconds_bucket",
    "msg_received_total",
    "msg_sent_total",
];

fn metrics_cell(changed: &[Series]) -> String {
    let mut cells = Vec::new();
    for series in changed.iter().filter(|series| !IN_EVERY_ROW.contains(&&*series.family)) {
        let shown = series.labels.iter().filter(|(label, value)| match label.as_str() {
            "grpc_code" | "refused_by" | "reason" | "shadow" => true,
            // A known method is in the row's title.
            "grpc_method" => value == "unknown",
            _ => false,
        });
        let shown: Vec<_> = shown.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels =
            if shown.is_empty() { String::new() } else { format!("{{{}}}", shown.join(",")) };
        cells.push(format!("`{}{labels}` {}", series.family, series.value));
    }
    cells.sort();
    cells.join("<br>")
}

fn span_cell(span: &SpanData) -> String {
    let status = match &span.status {
        Status::Unset => "Unset".to_owned(),
        Status::Ok => "Ok".to_owned(),
        Status::Error { description } if description.is_empty() => "Error".to_owned(),
        Status::Error { description } => format!("Error “{}”", stable(description)),
    };
    let mut cell = format!("{status} · `{}`", spans::code(span));
    if let Some(kind) = spans::text(span, "error.type") {
        cell += &format!(" · `error.type` `{kind}`");
    }
    for event in span.events.iter() {
        cell += &format!(" · event `{}`", event.name);
    }
    cell
}

/// Replaces what differs from run to run, ports of loopback, and from system to system, error numbers.
pub(crate) fn stable(text: &str) -> String {
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + "127.0.0.1:PORT" + part.trim_start_matches(|char: char| char.is_ascii_digit())
    })
}
