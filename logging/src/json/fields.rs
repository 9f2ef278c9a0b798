//! The fields of spans.

use std::cell::Cell;
use std::fmt;

use tracing_core::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

use super::buffer::with_line;
use super::members::Members;

/// Formats the fields of spans as a JSON object, for [`JsonEvents`](super::JsonEvents).
///
/// The keys are sorted. A value that is recorded later replaces the one before it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct JsonFields {}

impl JsonFields {
    /// Creates the formatter. It has no options.
    pub fn new() -> Self {
        Self {}
    }
}

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        with_line(|line| {
            let mut members = Members::new(line);
            fields.record(&mut members);
            writer.write_str(members.object())
        })
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        with_line(|line| {
            let earlier = current.fields.clone();
            let mut members = Members::parse(line, &earlier).ok_or(fmt::Error)?;
            let adding = Adding::start();
            fields.record(&mut members);
            drop(adding);
            current.fields.clear();
            current.fields.push_str(members.object());
            Ok(())
        })
    }
}

thread_local! {
    static ADDS: Cell<bool> = const { Cell::new(false) };
}

/// Exists while this thread adds fields to a span, with the span's extensions locked.
///
/// A `Debug` implementation of a field may emit an event in the meantime. The formatter of that event must not read the
/// fields of the span: it would wait for itself.
pub(super) struct Adding {
    outer: bool,
}

impl Adding {
    fn start() -> Self {
        Self { outer: ADDS.replace(true) }
    }

    /// Whether this thread adds fields to a span.
    pub(super) fn is_on() -> bool {
        ADDS.get()
    }
}

impl Drop for Adding {
    fn drop(&mut self) {
        ADDS.set(self.outer);
    }
}
