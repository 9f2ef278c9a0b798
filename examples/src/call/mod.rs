//! `orders call`: calls one method, and prints the response as JSON.

mod channel;
mod connections;
mod credentials;
mod error;
mod lines;
mod method;
mod output;
mod repeat;
mod resolve;
mod retries;
mod servers;
mod tls;
mod tls_errors;

use tonic_metrics_layer::exporter::Scrape;

use crate::cli::CallArgs;
use crate::metrics;
use crate::traces::Traces;

pub(crate) use connections::Connections;
pub use error::CallError;
pub(crate) use output::{Line, Output};
use repeat::Summary;

/// Calls the method and prints each response message as one line of JSON, when it arrives.
///
/// A response stream ends early, without an error, if standard output is closed. Other methods complete.
pub async fn run(args: CallArgs, traces: Option<&Traces>) -> Result<(), CallError> {
    let scrape = args.verbose.then(install_metrics).transpose().map_err(CallError::Output)?;
    let connections = Connections::open(&args)?;
    let mut summary = Summary::default();
    let result = call(args, &connections, traces, &mut summary).await;

    // While the connections are open, so that they are counted.
    let samples = scrape.map(|scrape| metrics::samples(&scrape));
    let summary = summary.finish(connections.servers().addresses());
    connections.close().await;
    output::print_to_stderr(samples.into_iter().flatten());
    // As the last lines, whether or not it is an error.
    match result {
        Ok(()) if summary.any_failed() => Err(CallError::SomeFailed(summary.to_string())),
        result => {
            output::print_to_stderr(summary.any().then(|| summary.to_string()));
            result
        }
    }
}

/// Installs the recorder of the client's metrics. Must be called inside a Tokio runtime.
pub(crate) fn install_metrics() -> Result<Scrape, String> {
    metrics::install(retries::set_buckets)
}

async fn call(
    args: CallArgs,
    connections: &Connections,
    traces: Option<&Traces>,
    summary: &mut Summary,
) -> Result<(), CallError> {
    let streams_response = args.method.streams_response();
    // Otherwise the signal ends the process.
    let reports_at_end = traces.is_some() || args.repeat.is_some();
    let result = tokio::select! {
        result = make_calls(args, connections, traces, summary) => result,
        () = output::closed(), if streams_response => Ok(()),
        // The span is exported, and the calls before are counted.
        () = interrupted(), if reports_at_end => Err(CallError::Interrupted),
    };
    match result {
        Err(CallError::OutputClosed) => Ok(()),
        result => result,
    }
}

async fn make_calls(
    args: CallArgs,
    connections: &Connections,
    traces: Option<&Traces>,
    summary: &mut Summary,
) -> Result<(), CallError> {
    let caller = connections.caller(&args, traces, Output::Print).await?;
    let call_once = async || caller.call(args.method.clone()).await;
    match args.repeat {
        None => call_once().await,
        Some(times) => {
            let servers = connections.servers();
            servers.wait_for_connections().await;
            summary.repeat(times, call_once, || servers.take_picks()).await
        }
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
