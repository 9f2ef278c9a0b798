//! The program `compare`: what each layer and the whole stack cost, in process and over loopback, beside the crates that
//! one would use instead.
//!
//! Each row is a subject in a process of its own, since a program has one `tracing` subscriber. This process asks
//! them one after another, round by round, and each measures the bare service beside its layers.

mod end_to_end;
mod go;
mod growth;
mod in_process;
mod instructions;
mod machine;
mod markdown;
mod options;
mod plan;
mod plot;
mod process;
mod progress;
mod protocol;
mod report;
mod results;
mod rounds;
mod rows;
mod samples;
mod setup;
mod statistics;
mod subscriber;
mod table;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use self::options::{Mode, Options};
pub use self::protocol::Allocated;

/// The allocator of the program, which counts.
#[derive(Clone, Copy, Debug)]
pub struct Allocator {
    /// Runs a function and counts the allocations of this thread meanwhile.
    pub count: fn(&mut dyn FnMut()) -> Allocated,
    /// Runs a function whose allocations are not counted, because to count them takes time.
    pub uncounted: fn(&mut dyn FnMut()),
}

/// An error that ends the program.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs the program with the arguments of this process.
#[expect(clippy::print_stderr, reason = "it is a program")]
pub fn main(allocator: Allocator) -> ExitCode {
    let options = Options::parse();
    let done = match &options.mode {
        Some(Mode::Worker { row }) => worker::serve(row, allocator),
        Some(Mode::Calls { row, call, calls }) => worker::make_calls(row, allocator, *call, *calls),
        None => report::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
