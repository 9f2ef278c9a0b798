//! `orders`: see the library of the same name.

use std::process::ExitCode;
use std::time::Duration;

use orders::call::Failure;
use orders::cli::{Cli, Command};
use orders::traces::Traces;
use orders::{log_writer, logs};
use tracing::Level;

/// As a shell says it of a process that ended by Ctrl-C (128 + SIGINT).
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let status = run();
    // Last of all: a process that ends takes with it what nobody has read.
    log_writer::finish();
    status
}

fn run() -> ExitCode {
    let cli = Cli::of_this_process();
    let (otlp, service) = match &cli.command {
        Command::Serve(args) => {
            if let Err(error) = log_writer::start() {
                return fail(&format!("cannot start: {error}"));
            }
            logs::of_a_server(args.log);
            (args.otlp.as_ref(), "orders")
        }
        Command::Call(args) => {
            logs::of_a_call(args.verbose);
            (args.otlp.as_ref(), "orders-call")
        }
        Command::Token(_) => (None, "orders-token"),
    };
    orders::panics::capture(|text| logs::line(Level::ERROR, text));

    let traces = otlp.map(|endpoint| Traces::start(endpoint, service)).transpose();
    let traces = match traces {
        Ok(traces) => traces,
        Err(error) => return fail(&error.to_string()),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => match orders::serve::run(args, traces.as_ref()).await {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => Err(error.to_string()),
            },
            Command::Call(args) => match orders::call::run(args, traces.as_ref()).await {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(Failure::Interrupted) => Ok(ExitCode::from(INTERRUPTED)),
                Err(failure) => Err(failure.to_string()),
            },
            Command::Token(args) => match orders::auth::print_token(&args) {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => Err(error.to_string()),
            },
        }
    });
    // What still runs is dropped, and so told of in the log. A thread that waits for something (standard
    // input, a disk) may not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let status = done.unwrap_or_else(|text| fail(&text));
    // After all that has one: what was dropped has its span, too.
    if let Some(traces) = traces {
        traces.finish();
    }
    status
}

fn fail(text: &str) -> ExitCode {
    use std::io::Write;
    // If nobody reads standard error, the exit status still tells.
    _ = log_writer::stderr().write_all(logs::line(Level::ERROR, text).as_bytes());
    ExitCode::FAILURE
}
