//! Each way in which a call can end: what the caller, the log line, the metrics and the span show for it.
//!
//! Each row of `docs/endings.md` is one real call over a socket. To write the page again, after a change of what a
//! layer shows:
//!
//! ```sh
//! ENDINGS=overwrite cargo test -p orders --test every_ending_is_seen_alike
//! ```
#![allow(clippy::unwrap_used)]

mod attempts;
mod by_the_caller;
mod by_the_service;
mod calls_out;
mod client;
mod clock;
mod codes;
mod deadlines;
mod drains;
mod metrics;
mod observed;
mod other_protocols;
mod panics;
mod raw;
mod refusals;
mod server;
mod table;
mod transport;

/// The recorded events, as the tests of the logging layer read them.
#[path = "../../../logging/tests/common/mod.rs"]
mod log;
/// The recorded spans, as the tests of the tracing layer read them.
#[path = "../../../tracing-layer/tests/common/mod.rs"]
mod spans;

use crate::observed::{Layers, Log};
use crate::table::{Row, Section};

/// Makes every call of the page.
async fn sections(layers: Layers) -> Vec<Section> {
    let log = Log::listen();
    vec![
        codes::section(&log, layers).await,
        by_the_service::section(&log, layers).await,
        refusals::section(&log, layers).await,
        deadlines::section(&log, layers).await,
        by_the_caller::section(&log, layers).await,
        panics::section(&log, layers).await,
        drains::section(&log, layers).await,
        other_protocols::web(&log, layers).await,
        other_protocols::connect(&log, layers).await,
        transport::section(&log, layers).await,
        attempts::section(&log, layers).await,
    ]
}

fn rows(sections: &[Section]) -> impl Iterator<Item = &Row> {
    sections.iter().flat_map(|section| &section.rows)
}

#[tokio::test(start_paused = true)]
async fn the_page_shows_what_is_seen() {
    panics::hide();
    let _held = clock::hold();
    let sections = sections(Layers::InOnePass).await;
    assert!(rows(&sections).count() >= 30, "the page has become short");
    table::compare(&sections);
}

#[tokio::test(start_paused = true)]
async fn a_layer_each_shows_the_same_as_all_in_one_pass() {
    panics::hide();
    let _held = clock::hold();
    let in_one_pass = sections(Layers::InOnePass).await;
    let stacked = sections(Layers::Stacked).await;
    for (one, other) in rows(&in_one_pass).zip(rows(&stacked)) {
        assert_eq!(one, other);
    }
}
