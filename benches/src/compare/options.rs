use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::protocol::Kind;

/// Measures what the layers cost, beside the bare service and beside the crates that one would use instead.
///
/// Prints tables in Markdown: time, allocations and instructions in process; throughput, processor time and latency over
/// loopback; and how the cost grows. Instructions need valgrind, and the rows of grpc-go a Go toolchain, in the PATH.
/// A full run takes less than five minutes on two cores; progress is printed to standard error.
#[derive(Debug, Parser)]
#[command(name = "compare", version, args_conflicts_with_subcommands = true)]
pub(super) struct Options {
    /// Print JSON instead of Markdown
    #[arg(long)]
    pub(super) json: bool,

    /// Also write a bar chart in SVG to this file
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,

    /// Measure only rows whose name contains this text (may be repeated); the bare service and all peers in one stack are
    /// always measured
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Vec<String>,

    /// Measure for a few seconds, to see that everything works: the figures mean little
    #[arg(long)]
    pub(super) quick: bool,

    #[command(subcommand)]
    pub(super) mode: Option<Mode>,
}

/// What this program starts itself for.
#[derive(Debug, Subcommand)]
pub(super) enum Mode {
    /// Measure one row, as asked over standard input
    #[command(hide = true)]
    Worker {
        /// The name of the row
        row: String,
    },
    /// Make calls of one row in process, under valgrind
    #[command(hide = true)]
    Calls {
        /// The name of the row
        row: String,
        /// The kind of the calls
        call: Kind,
        /// The number of calls
        calls: u32,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_declared_without_contradiction() {
        Options::command().debug_assert();
    }

    #[test]
    fn an_unknown_argument_is_an_error_that_names_it() {
        let error = Options::try_parse_from(["compare", "--qick"]).expect_err("it is unknown");
        assert!(error.to_string().contains("--qick"), "{error}");
    }

    #[test]
    fn filters_may_be_repeated() {
        let arguments = ["compare", "--filter", "full", "--filter", "peer"];
        let options = Options::try_parse_from(arguments).expect("they are valid");
        assert_eq!(options.filter, ["full", "peer"]);
    }
}
