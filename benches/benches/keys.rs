//! The cost of limits with many keys, with many new keys, and on two threads, compared with `tower_governor`.
#![allow(clippy::print_stdout)]

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use tonic_layers_benches::{Call, Limiter, Rounds, Subject, quantile};

const MANY: u32 = 1_000_000;
/// The number of rounds; each line is their median.
const ROUNDS: usize = 7;
/// More calls than our layer needs to remove all expired keys.
const CALLS: u32 = 400_000;

fn main() {
    known();
    stages();
    two_threads();
}

/// Prints the cost of calls whose keys the limiter already holds.
fn known() {
    const COUNTS: [u32; 4] = [1, 1_000, 100_000, MANY];
    let columns = COUNTS.map(|count| format!("{count:>12}")).concat();
    println!("\n{:<30}{columns}", "added, ns, by keys");
    for limiter in Limiter::by_peer(MANY as usize) {
        let added = COUNTS.map(|count| {
            let mut subject = limiter.subject();
            subject.called_by(0..count);
            make(&mut subject, count);
            let mut rounds = Rounds::of(&subject);
            rounds.run(&mut subject, Call::Unary, CALLS.into());
            format!("{:>12.0}", rounds.added())
        });
        println!("{:<30}{}", limiter.name, added.concat());
    }
}

fn make(subject: &mut Subject, calls: u32) {
    for _ in 0..calls {
        subject.call(Call::Unary);
    }
}

/// The successive states of a limiter's keys.
const STAGES: [&str; 4] =
    ["all new", "all known", "all new, and no room", "most forgotten, 1,000 known"];

/// Prints the latency of single calls in microseconds, at each stage.
fn stages() {
    println!("\n{:<34}{:>10}{:>10}{:>10}", "1,000,000 keys, µs", "p50", "p99", "longest");
    let mut limiters: [(&str, Vec<Stages>); 3] = Default::default();
    for _ in 0..ROUNDS {
        let [ours, peer] = Limiter::expiring(MANY as usize);
        for (limiter, (name, rounds)) in [Limiter::none(), ours, peer].iter().zip(&mut limiters) {
            *name = limiter.name;
            rounds.push(
                live(limiter).map(|took| [0.5, 0.99, 1.0].map(|part| quantile(took.clone(), part))),
            );
        }
    }
    for (stage, title) in STAGES.into_iter().enumerate() {
        println!("{title}");
        for (name, rounds) in &limiters {
            let of = |at: usize| rounds.iter().map(|took| took[stage][at]).collect();
            let (p50, p99) = (quantile(of(0), 0.5), quantile(of(1), 0.5));
            // The longest call is the minimum over the rounds; longer times are caused by other programs.
            let longest = quantile(of(2), 0.0);
            println!("  {name:<32}{p50:>10.2}{p99:>10.2}{longest:>10.0}");
        }
    }
}

/// The median, the 99th percentile and the maximum, at each stage.
type Stages = [[f64; 3]; STAGES.len()];

/// The latency of each call in microseconds, at each stage.
fn live(limiter: &Limiter) -> [Vec<f64>; STAGES.len()] {
    let mut subject = limiter.subject();
    subject.called_by(0..MANY);
    let new = singly(&mut subject, MANY);
    let known = singly(&mut subject, CALLS);
    subject.called_by(MANY..2 * MANY);
    let no_room = singly(&mut subject, CALLS);
    limiter.expire();
    subject.called_by(0..1_000);
    let forgotten = thread::scope(|scope| {
        scope.spawn(|| limiter.forget());
        singly(&mut subject, CALLS)
    });
    [new, known, no_room, forgotten]
}

/// Makes this many calls; returns the latency of each in microseconds.
fn singly(subject: &mut Subject, calls: u32) -> Vec<f64> {
    let mut one = |_| {
        let start = Instant::now();
        subject.call(Call::Unary);
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..calls).map(&mut one).collect()
}

/// Prints the calls per second of two threads, compared with the bare service.
fn two_threads() {
    println!("\n{:<30}{:>16}{:>20}", "two threads", "calls a second", "of bare throughput");
    let bare = Limiter::none();
    let by_peer = || Limiter::by_peer(MANY as usize);
    for (case, limiters, callers) in [
        (", global", Limiter::global(), 1),
        (", one key", by_peer(), 1),
        (", 1,000 keys", by_peer(), 1_000),
    ] {
        for limiter in limiters {
            let (mut rates, mut ratios) = (Vec::new(), Vec::new());
            both(&limiter, callers);
            for _ in 0..10 * ROUNDS {
                let beside = both(&bare, callers);
                let rate = both(&limiter, callers);
                rates.push(rate);
                ratios.push(rate / beside * 100.0);
            }
            let (rate, ratio) = (quantile(rates, 0.5), quantile(ratios, 0.5));
            println!("{:<30}{rate:>16.0}{ratio:>18.1} %", format!("{}{case}", limiter.name));
        }
    }
}

/// The sum of both threads' calls per second.
fn both(limiter: &Limiter, callers: u32) -> f64 {
    const EACH: u32 = 20_000;
    let ready = Barrier::new(2);
    let one = || {
        let mut subject = limiter.subject();
        subject.called_by(0..callers);
        make(&mut subject, 100);
        ready.wait();
        let start = Instant::now();
        make(&mut subject, EACH);
        f64::from(EACH) / start.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let other = scope.spawn(one);
        one() + other.join().expect("it calls")
    })
}
