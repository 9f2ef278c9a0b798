//! How many allocations a call makes, and how many of them are the layer's.
#![allow(clippy::print_stdout)]

use tonic_layers_benches::{Call, Listener, subjects};

/// After so many calls all is there that is made once: what is learnt, and what is kept to be used
/// again.
const WARM: usize = 10;
/// Over so many calls the average is taken: a recorder keeps its samples in blocks.
const CALLS: u64 = 1_000;

fn main() {
    Listener::each(|listener| {
        for call in Call::ALL {
            table(listener, call);
        }
    });
}

fn table(listener: Listener, call: Call) {
    let title = format!("{}, {}", call.name(), listener.name());
    println!("\n{title:<30}{:>14}{:>10}{:>14}{:>10}", "allocations", "added", "bytes", "added");
    let mut bare = None;
    for mut subject in subjects(listener) {
        for _ in 0..WARM {
            subject.call(call);
        }
        let info = allocation_counter::measure(|| (0..CALLS).for_each(|_| subject.call(call)));
        let per_call = |total: u64| total as f64 / CALLS as f64;
        let (count, bytes) = (per_call(info.count_total), per_call(info.bytes_total));
        let (bare_count, bare_bytes) = *bare.get_or_insert((count, bytes));
        println!(
            "{:<30}{count:>14.1}{:>10.1}{bytes:>14.0}{:>10.0}",
            subject.name,
            count - bare_count,
            bytes - bare_bytes,
        );
    }
}
