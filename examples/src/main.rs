//! `orders`: see the library of the same name.

use std::process::ExitCode;

use orders::cli::Cli;
use orders::logs::writer;

fn main() -> ExitCode {
    let status = orders::run(Cli::from_process());
    // Must be last: log lines that are still queued when the process exits are lost.
    writer::finish();
    status
}
