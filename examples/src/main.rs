//! `orders`: see the library of the same name.

use std::process::ExitCode;
use std::time::Duration;

use orders::cli::{Cli, Command};
use orders::logs;

fn main() -> ExitCode {
    let cli = Cli::of_this_process();
    match &cli.command {
        Command::Serve(args) => logs::of_a_server(args.log),
        Command::Call(args) => logs::of_a_call(args.verbose),
    }
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
    // What still runs is dropped, and so told of in the log. A thread that waits for something (standard
    // input, a disk) may not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

fn fail(text: &str) -> ExitCode {
    use std::io::Write;
    // If nobody reads standard error, the exit status still tells.
    _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::FAILURE
}
