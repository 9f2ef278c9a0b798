//! Writes all events of a program as JSON lines: a faster formatter for [`tracing_subscriber`].
//!
//! The lines are those of `tracing_subscriber::fmt().json().flatten_event(true)`, byte for byte, for a third of the
//! work. Use it where that formatter is used today and logging shows in a profile. It writes every event that the
//! subscriber gets, of this crate and of any other.
//!
//! ```toml
//! [dependencies]
//! tonic-logging-layer = { version = "0.1", features = ["json"] }
//! tracing-subscriber = { version = "0.3", features = ["env-filter"] }
//! ```
//!
//! # Examples
//!
//! Lines of level `INFO` and above, on standard output:
//!
//! ```
//! tonic_logging_layer::json::subscriber().init();
//!
//! tracing::info!(orders = 3, "ready");
//! // {"timestamp":"2026-11-22T15:04:05.123456Z","level":"INFO","message":"ready","orders":3,"target":"my_service"}
//! ```
//!
//! With a filter, further options, and beside other layers:
//!
//! ```
//! use tonic_logging_layer::json::{self, JsonEvents};
//! use tracing_subscriber::prelude::*;
//! use tracing_subscriber::{EnvFilter, registry};
//!
//! let lines = json::layer()
//!     .map_event_format(|json: JsonEvents| json.with_span_list(false).with_file(true))
//!     .with_writer(std::io::stderr);
//! registry().with(EnvFilter::from_default_env()).with(lines).init();
//! ```
//!
//! [`JsonEvents`] has the options `with_target`, `with_level`, `with_file`, `with_line_number`, `with_current_span`,
//! `with_span_list`, `with_thread_names`, `with_thread_ids`, `with_timer` and `without_time`, with the names and the
//! defaults of tracing-subscriber. The writer and the maximum level are set on the subscriber or the layer, as before.
//! Records of the crate `log` are written if tracing-subscriber's default feature `tracing-log` is on.
//!
//! # Differences
//!
//! | | tracing-subscriber | here |
//! |---|---|---|
//! | a value logs while `Span::record` writes it | never returns | both are written; the inner event has spans without fields |
//! | a span with a key that is escaped records a field later | the field is lost | the field is written |
//! | `Debug` or `Display` of a value returns an error | panic | the text before the error is written |
//! | the fields of a span are missing, because the layer was added after it | panic | the span is written with its name |
//! | a span has a float of 16 or 17 digits | the last digit may be another | the digits are exact |
//! | `valuable`, with `--cfg tracing_unstable` | an object | the text of `Debug` |
//! | events in a handler, with [`handler_span(false)`](crate::LoggingLayer::handler_span) | nothing about the call | an object `call` |
//! | fields in an object `fields` of their own (without `flatten_event`) | yes | no |
//!
//! # The two formatters belong together
//!
//! [`JsonEvents`] copies what [`JsonFields`] has written, so it does not compile with other formatters of fields, whose
//! text is no JSON:
//!
//! ```compile_fail,E0277
//! # use tonic_logging_layer::json::JsonEvents;
//! tracing_subscriber::fmt().event_format(JsonEvents::new()).init();
//! // error: the trait bound `JsonEvents: FormatEvent<Registry, DefaultFields>` is not satisfied
//! ```
//!
//! [`subscriber`] and [`layer`] set both. On a builder of your own, set the formatter of fields first, and before both
//! the settings that only tracing-subscriber's own formatters have:
//!
//! ```
//! # use tonic_logging_layer::json::{JsonEvents, JsonFields};
//! # use tracing_subscriber::fmt::format::FmtSpan;
//! tracing_subscriber::fmt()
//!     .with_span_events(FmtSpan::CLOSE)
//!     .fmt_fields(JsonFields::new())
//!     .event_format(JsonEvents::new())
//!     .init();
//! ```

pub(crate) mod buffer;
mod events;
mod fields;
mod members;
pub(crate) mod number;
pub(crate) mod object;
mod options;
mod spans;
pub(crate) mod text;
pub(crate) mod time;

use tracing_core::Subscriber;
use tracing_subscriber::fmt::{self, Layer, SubscriberBuilder};
use tracing_subscriber::registry::LookupSpan;

pub use self::fields::JsonFields;
pub use self::options::JsonEvents;
pub use self::time::UtcMicros;

/// Configures a subscriber that writes JSON lines: [`tracing_subscriber::fmt()`] with [`JsonEvents`] and [`JsonFields`].
///
/// By default it writes to standard output, from level `INFO` on.
pub fn subscriber() -> SubscriberBuilder<JsonFields, JsonEvents> {
    tracing_subscriber::fmt().fmt_fields(JsonFields::new()).event_format(JsonEvents::new())
}

/// Configures a layer that writes JSON lines: [`tracing_subscriber::fmt::layer()`] with [`JsonEvents`] and [`JsonFields`].
///
/// By default it writes to standard output. It has no level of its own.
pub fn layer<S>() -> Layer<S, JsonFields, JsonEvents>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fmt::layer().fmt_fields(JsonFields::new()).event_format(JsonEvents::new())
}
