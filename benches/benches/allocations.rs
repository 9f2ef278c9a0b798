//! How many allocations a call makes, and how many of them are the layer's.
#![allow(clippy::print_stdout)]

use tonic_layers_benches::{Call, subjects};

fn main() {
    for call in Call::ALL {
        println!(
            "\n{:<26}{:>14}{:>10}{:>14}{:>10}",
            call.name(),
            "allocations",
            "added",
            "bytes",
            "added"
        );
        let mut bare = None;
        for mut subject in subjects() {
            // What is made once, for the first call, is not counted.
            subject.call(call);
            let info = allocation_counter::measure(|| subject.call(call));
            let (count, bytes) = (info.count_total, info.bytes_total);
            let (bare_count, bare_bytes) = *bare.get_or_insert((count, bytes));
            println!(
                "{:<26}{count:>14}{:>10}{bytes:>14}{:>10}",
                subject.name,
                count - bare_count,
                bytes - bare_bytes,
            );
        }
    }
}
