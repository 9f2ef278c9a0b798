//! `orders`: see the library of the same name.

use std::process::ExitCode;

use orders::cli::{Cli, Command};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::of_this_process();
    log_to_standard_error(match &cli.command {
        Command::Serve(_) => "info",
        Command::Call(_) => "warn",
    });
    orders::panics::capture();

    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => orders::serve::run(args).await.map_err(|e| e.to_string()),
            Command::Call(args) => orders::call::run(args).await.map_err(|e| e.to_string()),
        }
    });
    // What is still running (a call that was cut, a read of standard input) may not hold up the end.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

fn log_to_standard_error(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would complain on standard error that standard error cannot be written, and panic there.
        .log_internal_errors(false)
        .init();
}

fn fail(text: &str) -> ExitCode {
    use std::io::Write;
    // If nobody reads standard error, the exit status still tells.
    _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::FAILURE
}
