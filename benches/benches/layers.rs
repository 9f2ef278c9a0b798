//! The time per call behind each layer, compared with the bare service in the same rounds.
//!
//! The speed of a machine drifts while a bench runs. Therefore each round of a subject follows a round of the
//! bare service, and the results are the difference and the ratio between the two.
#![allow(missing_docs, clippy::print_stdout)]

use std::cell::RefCell;
use std::time::Duration;

use criterion::Criterion;
use tonic_layers_benches::{Call, Listener, Rounds, enter_runtime, subjects};

fn main() {
    Listener::each(|listener| {
        let _inside = enter_runtime();
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
        let rounds = RefCell::new(Rounds::of(&subject));
        group.bench_function(subject.name, |bencher| {
            bencher.iter_custom(|calls| rounds.borrow_mut().run(&mut subject, call, calls));
        });
        let rounds = rounds.into_inner();
        if rounds.is_empty() {
            continue; // filtered out
        }
        let (bare, added, ratio) = (rounds.bare(), rounds.added(), rounds.ratio());
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
