//! What the layers cost, and what the usual crates cost, in one run. See `--help`.

use std::process::ExitCode;

use tonic_layers_benches::compare::{self, Allocated};

fn main() -> ExitCode {
    compare::main(|run: &mut dyn FnMut()| {
        let info = allocation_counter::measure(run);
        Allocated { count: info.count_total, bytes: info.bytes_total, kept: info.bytes_current }
    })
}
