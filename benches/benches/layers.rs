//! How long a call takes behind each layer, beside the bare service in the same rounds.
//!
//! A machine's speed drifts while a bench runs: each round of a subject is preceded by one of the
//! bare service, and what counts is the difference and the ratio between the two.
#![allow(missing_docs, clippy::print_stdout)]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use criterion::Criterion;
use tonic_layers_benches::{Call, Listener, Subject, subjects};

/// How many calls are made between two looks at the clock.
const ROUND: u64 = 64;

fn timed(subject: &mut Subject, call: Call, times: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        subject.call(call);
    }
    start.elapsed()
}

/// The nanoseconds per call of each round: of the bare service, and of the subject.
type Rounds = Vec<(f64, f64)>;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn main() {
    Listener::each(|listener| {
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .without_plots()
            .configure_from_args();
        for call in Call::ALL {
            table(&mut criterion, listener, call);
        }
        criterion.final_summary();
    });
}

fn table(criterion: &mut Criterion, listener: Listener, call: Call) {
    let title = format!("{}, {}", call.name(), listener.name());
    let mut lines = Vec::new();
    let mut group = criterion.benchmark_group(&title);
    for mut subject in subjects(listener) {
        let mut bare = Subject::bare();
        let rounds = RefCell::new(Rounds::new());
        group.bench_function(subject.name, |bencher| {
            bencher.iter_custom(|calls| {
                let mut total = Duration::ZERO;
                for start in (0..calls).step_by(ROUND as usize) {
                    let times = ROUND.min(calls - start);
                    let beside = timed(&mut bare, call, times);
                    let measured = timed(&mut subject, call, times);
                    let per_call = |took: Duration| took.as_nanos() as f64 / times as f64;
                    rounds.borrow_mut().push((per_call(beside), per_call(measured)));
                    total += measured;
                }
                total
            });
        });
        let rounds = rounds.into_inner();
        if rounds.is_empty() {
            continue; // filtered out
        }
        let bare = median(rounds.iter().map(|(bare, _)| *bare).collect());
        let added = median(rounds.iter().map(|(bare, took)| took - bare).collect());
        let ratio = median(rounds.iter().map(|(bare, took)| took / bare).collect());
        lines.push(format!("{:<30}{bare:>10.0}{added:>12.0}{ratio:>10.2}", subject.name));
    }
    group.finish();
    if lines.is_empty() {
        return;
    }
    println!("\n{title:<30}{:>10}{:>12}{:>10}", "bare, ns", "added, ns", "ratio");
    for line in lines {
        println!("{line}");
    }
    println!();
}
