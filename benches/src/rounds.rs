use std::time::{Duration, Instant};

use crate::subject::{Call, Subject};

/// The number of calls between two reads of the clock.
const ROUND: u64 = 64;

/// The time per call of a subject and of the bare service, in alternating rounds, because a machine's speed drifts.
#[derive(Debug)]
pub struct Rounds {
    bare: Subject,
    /// Nanoseconds per call in each round: of the bare service, and of the subject.
    took: Vec<(f64, f64)>,
}

impl Rounds {
    /// No rounds yet, for this subject.
    pub fn of(subject: &Subject) -> Self {
        Self { bare: subject.bare(), took: Vec::new() }
    }

    /// Makes this many calls of the subject and of the bare service; returns the time of the subject's calls.
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

    /// Whether there are no rounds.
    pub fn is_empty(&self) -> bool {
        self.took.is_empty()
    }

    /// Nanoseconds per call of the bare service.
    pub fn bare(&self) -> f64 {
        self.median(|bare, _| bare)
    }

    /// The additional nanoseconds per call of the subject.
    pub fn added(&self) -> f64 {
        self.median(|bare, took| took - bare)
    }

    /// The ratio of the subject's time to that of the bare service.
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

/// The quantile `part` of the values; 0 if there are none.
pub fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or_default()
}
