//! Runs one command: starts the log, tracing and the runtime, and turns the result into an exit status.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tracing::Level;

use crate::call::CallError;
use crate::cli::{Cli, Command};
use crate::demo::{DemoError, Log, SpanReceiver};
use crate::logs::writer;
use crate::traces::Traces;
use crate::{auth, call, certs, demo, logs, panics, serve};

/// Exit status after Ctrl-C, as shells report it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// Runs the command and returns the exit status of the process.
pub fn run(cli: Cli) -> ExitCode {
    // What `orders demo` observes, from the start of the process.
    let mut observed = None;
    let (otlp, service) = match &cli.command {
        Command::Serve(args) => {
            if let Err(error) = writer::start() {
                return fail(&format!("cannot start: {error}"));
            }
            logs::init_server(args.log);
            (args.otlp.clone(), "orders")
        }
        Command::Call(args) => {
            logs::init_client(args.verbose);
            (args.otlp.clone(), "orders-call")
        }
        Command::Token(_) => (None, "orders-token"),
        Command::Certs(_) => (None, "orders-certs"),
        Command::Demo(_) => {
            let receiver = match SpanReceiver::listen() {
                Ok(receiver) => receiver,
                Err(error) => return fail(&format!("cannot start: {error}")),
            };
            let (log, endpoint) = (Log::default(), receiver.url().clone());
            let lines = log.client();
            logs::init_captured(move || lines.clone());
            observed = Some((receiver, log));
            (Some(endpoint), "orders-call")
        }
    };
    panics::capture(|text| logs::line(Level::ERROR, text));

    let traces = otlp.map(|endpoint| match observed {
        Some(_) => Traces::start_for_all(&endpoint, service),
        None => Traces::start(&endpoint, service),
    });
    let traces = traces.transpose();
    let traces = match traces {
        Ok(traces) => traces,
        Err(error) => return fail(&error.to_string()),
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let result = runtime.block_on(command(cli.command, traces.as_ref(), observed));
    // Calls that still run are dropped, and log that. Threads that wait for I/O must not delay the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let status = result.unwrap_or_else(|text| fail(&text));
    // After the runtime: the calls that were dropped have spans, too.
    if let Some(traces) = traces {
        traces.finish();
    }
    status
}

async fn command(
    command: Command,
    traces: Option<&Traces>,
    observed: Option<(SpanReceiver, Log)>,
) -> Result<ExitCode, String> {
    match command {
        Command::Serve(args) => {
            serve::run(args, traces).await.map_err(|error| error.to_string())?;
        }
        Command::Call(args) => match call::run(args, traces).await {
            Err(CallError::Interrupted) => return Ok(ExitCode::from(INTERRUPTED)),
            result => result.map_err(|error| error.to_string())?,
        },
        Command::Token(args) => auth::print_token(&args).map_err(|error| error.to_string())?,
        Command::Certs(args) => certs::run(&args.folder).map_err(|error| error.to_string())?,
        Command::Demo(args) => {
            let (Some(traces), Some((receiver, log))) = (traces, observed) else {
                unreachable!("it has both");
            };
            match demo::run(args, receiver, traces, log).await {
                Ok(true) => {}
                Ok(false) => return Ok(ExitCode::FAILURE),
                Err(DemoError::Interrupted) => return Ok(ExitCode::from(INTERRUPTED)),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fail(text: &str) -> ExitCode {
    // If standard error is closed, the exit status still reports the failure.
    _ = writer::stderr().write_all(logs::line(Level::ERROR, text).as_bytes());
    ExitCode::FAILURE
}
