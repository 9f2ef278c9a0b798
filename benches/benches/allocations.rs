//! Allocations per call, with and without each layer, and the memory that a limit holds per key.
#![allow(clippy::print_stdout)]

use tonic_layers_benches::{Call, Limiter, Listener, Subject, enter_runtime, subjects};

/// Calls before the measurement. They create everything that is created only once, such as learned methods and
/// reusable buffers.
const WARM: usize = 10;
/// The number of calls that are averaged: a recorder stores its samples in blocks.
const CALLS: u64 = 1_000;

fn main() {
    Listener::each(|listener| {
        let _inside = enter_runtime();
        for call in Call::ALL {
            table(listener, call);
        }
        if listener == Listener::Nobody {
            keys();
        }
    });
}

fn table(listener: Listener, call: Call) {
    let title = format!("{}, {}", call.name(), listener.name());
    println!("\n{title:<30}{:>14}{:>10}{:>14}{:>10}", "allocations", "added", "bytes", "added");
    for mut subject in subjects(listener) {
        let [bare_count, bare_bytes] = per_call(&mut subject.bare(), call);
        let [count, bytes] = per_call(&mut subject, call);
        println!(
            "{:<30}{count:>14.1}{:>10.1}{bytes:>14.0}{:>10.0}",
            subject.name,
            count - bare_count,
            bytes - bare_bytes,
        );
    }
}

/// The allocations per call, and their bytes.
fn per_call(subject: &mut Subject, call: Call) -> [f64; 2] {
    for _ in 0..WARM {
        subject.call(call);
    }
    let info = allocation_counter::measure(|| (0..CALLS).for_each(|_| subject.call(call)));
    [info.count_total, info.bytes_total].map(|total| total as f64 / CALLS as f64)
}

/// Memory per key of a limiter with many keys: after all keys were added, the peak while they were added, and
/// after most of them have expired and other callers have called for a while.
fn keys() {
    const KEYS: u32 = 1_000_000;
    println!(
        "\n{:<30}{:>14}{:>14}{:>14}",
        "1,000,000 keys, bytes each", "kept", "at most", "later"
    );
    let call = |subject: &mut Subject, calls| {
        allocation_counter::measure(|| (0..calls).for_each(|_| subject.call(Call::Unary)))
    };
    for limiter in Limiter::expiring(KEYS as usize) {
        let mut subject = limiter.subject();
        subject.called_by(0..KEYS);
        let filled = call(&mut subject, KEYS);
        limiter.expire();
        subject.called_by(0..1_000);
        let later = call(&mut subject, KEYS);
        let forgotten = allocation_counter::measure(|| limiter.forget());
        let left = filled.bytes_current + later.bytes_current + forgotten.bytes_current;
        let each = |bytes: f64| bytes / f64::from(KEYS);
        println!(
            "{:<30}{:>14.1}{:>14.1}{:>14.1}",
            limiter.name,
            each(filled.bytes_current as f64),
            each(filled.bytes_max as f64),
            each(left as f64),
        );
    }
}
