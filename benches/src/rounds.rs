use std::time::{Duration, Instant};

use crate::subject::{Call, Subject};

/// How many calls are made between two looks at the clock.
const ROUND: u64 = 64;

/// The time of calls, of a subject and of the bare service by turns: a machine's speed drifts.
#[derive(Debug)]
pub struct Rounds {
    bare: Subject,
    /// The nanoseconds per call of each round: of the bare service, and of the subject.
    took: Vec<(f64, f64)>,
}

impl Rounds {
    /// None yet, of that subject.
    pub fn of(subject: &Subject) -> Self {
        Self { bare: subject.bare(), took: Vec::new() }
    }

    /// Makes so many calls of the subject, and as many of the bare service; says how long the first took.
    pub fn run(&mut self, subject: &mut Subject, call: Call, calls: u64) -> Duration {
        let mut total = Duration::ZERO;
        for start in (0..calls).step_by(ROUND as usize) {
            let times = ROUND.min(calls - start);
            let beside = timed(&mut self.bare, call, times);
            let measured = timed(subject, call, times);
            let per_call = |took: Duration| took.as_nanos() as f64 / times as f64;
            self.took.push((per_call(beside), per_call(measured)));
            total += measured;
        }
        total
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.took.is_empty()
    }

    /// The nanoseconds of a call of the bare service.
    pub fn bare(&self) -> f64 {
        self.median(|bare, _| bare)
    }

    /// How many more one of the subject takes.
    pub fn added(&self) -> f64 {
        self.median(|bare, took| took - bare)
    }

    /// How many times as many.
    pub fn ratio(&self) -> f64 {
        self.median(|bare, took| took / bare)
    }

    fn median(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        quantile(self.took.iter().map(|(bare, took)| of(*bare, *took)).collect(), 0.5)
    }
}

fn timed(subject: &mut Subject, call: Call, times: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        subject.call(call);
    }
    start.elapsed()
}

/// The value that this part of them does not exceed; of none, 0.
pub fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or_default()
}
