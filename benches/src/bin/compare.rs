//! What the layers cost, and what the usual crates cost, in one run. See `--help`.

use std::process::ExitCode;

use tonic_layers_benches::compare::{self, Allocated, Allocator};

fn main() -> ExitCode {
    compare::main(Allocator {
        count: |run| {
            let info = allocation_counter::measure(run);
            Allocated { count: info.count_total, bytes: info.bytes_total, kept: info.bytes_current }
        },
        uncounted: |run| allocation_counter::opt_out(run),
    })
}
