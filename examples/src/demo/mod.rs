//! `orders demo`: serves and calls it in each way, compares how each call ended with how it should, and shows the log
//! lines, the trace and the metrics that the calls made.
//!
//! The servers are processes of the same program (`orders serve`); the calls go through the client of `orders call`.
//! Nothing waits for a time: each step waits for an event, with a limit.

mod calls;
mod counters;
mod error;
mod folder;
mod http;
mod keep;
mod log;
mod log_lines;
mod row;
mod rows;
mod scenarios;
mod screen;
mod server;
mod spans;
mod stage;
mod trace_tree;

use std::time::Instant;

use crate::call;
use crate::cli::{DemoArgs, ExpectedCode};
use crate::drain;
use crate::traces::Traces;

use calls::Called;
use counters::Samples;
pub use error::DemoError;
pub use log::Log;
use rows::Rows;
use screen::{Screen, Tone};
pub use spans::SpanReceiver;
use stage::{SERVER, Stage};

/// The call that is shown has one span of the client, and one of the server for each attempt.
const SHOWN_SPANS: usize = 4;

/// Runs the demo. Returns whether every call ended as expected.
///
/// `receiver` is where `traces` go, and `log` gets the log of this process.
pub async fn run(
    args: DemoArgs,
    receiver: SpanReceiver,
    traces: &Traces,
    log: Log,
) -> Result<bool, DemoError> {
    let mut signals = drain::signals()?;
    let mut screen = Screen::new();
    let shown = tokio::select! {
        biased;
        // What it has started is killed, and its files are removed.
        Some(_) = signals.recv() => return Err(DemoError::Interrupted),
        shown = show(&mut screen, args.expect, receiver, traces, log) => shown,
    };
    let (stage, is_as_expected) = shown?;
    if args.keep {
        let (server, files) = stage.keep_one().await;
        keep::print(&mut screen, &server, &files);
        _ = signals.recv().await;
        server.stop().await;
    } else {
        screen.progress("stopping the servers");
        stage.stop().await;
    }
    Ok(is_as_expected)
}

/// Makes the calls, and shows them. Returns what is running, and whether every call ended as expected.
async fn show<'a>(
    screen: &mut Screen,
    expect: Vec<ExpectedCode>,
    receiver: SpanReceiver,
    traces: &'a Traces,
    log: Log,
) -> Result<(Stage<'a>, bool), DemoError> {
    let began = Instant::now();
    screen.progress("starting four servers");
    let client = call::install_metrics().map_err(DemoError::setup)?;
    let mut stage = Stage::start(receiver, traces, log).await?;
    let metrics = stage.server.metrics.clone().unwrap_or_default();
    let before = Samples::scrape(&metrics, &client).await.map_err(DemoError::setup)?;

    screen.lines([
        "Four servers (`orders serve`) on free ports, and a temporary database. They are"
            .to_owned(),
        "called through the client of `orders call`: how calls should end, and do end.".to_owned(),
        String::new(),
    ]);
    let mut rows = Rows::new(screen, expect);
    let shown = scenarios::run(&mut stage, &mut rows).await;
    let (number, differ) = rows.finish();

    let shown = match shown {
        Ok(called) => observed(screen, &stage, &called).await,
        Err(error) => Err(error),
    };
    let after = Samples::scrape(&metrics, &client).await.map_err(DemoError::setup)?;
    screen.title("Metrics of the server and the client: what the calls have added");
    screen.lines(after.since(&before, screen.look()));

    let mut differences = differ;
    if let Err(error) = shown {
        differences.push(error);
    }
    let took = began.elapsed().as_secs_f64();
    let verdict = if differences.is_empty() {
        screen.look().paint(Tone::Good, &format!("All {number} rows are as expected"))
    } else {
        screen.look().paint(Tone::Bad, &format!("Not as expected: {}", differences.join(", ")))
    };
    screen.line("");
    screen.line(&format!("{verdict} ({took:.1} s)"));
    Ok((stage, differences.is_empty()))
}

/// Shows the log lines and the trace of a call.
async fn observed(screen: &mut Screen, stage: &Stage<'_>, call: &Called) -> Result<(), String> {
    let (look, width) = (screen.look(), screen.width());
    let lines = stage.log.calls(&call.trace_id, SERVER, SHOWN_SPANS - 1).await?;
    screen.title("Log lines of the failure that was retried");
    screen.lines(log_lines::show(&lines, look, width));

    stage.traces.flush().await;
    let spans = stage.spans.of_trace(&call.trace_id, SHOWN_SPANS).await?;
    screen.title(&format!("Its trace, {}", call.trace_id));
    screen.lines(trace_tree::show(&spans, look, width));
    Ok(())
}
