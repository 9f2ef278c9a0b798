//! The rounds: each asks every row once, so that all rows share what else the machine does.

use std::hint::black_box;

use super::go::Go;
use super::plan::{self, Plan, WORK};
use super::process::Process;
use super::progress::Progress;
use super::protocol::{Done, Kind, Prepared, Question};
use super::rows::{Group, Row};
use super::samples::{Grown, Samples};
use super::{Error, statistics};
use crate::one_core::thread_time;
use crate::service::work;

/// A row, its process, and what was measured.
pub(super) struct Measured {
    pub(super) row: Row,
    process: Process,
    pub(super) samples: Samples,
}

impl Measured {
    pub(super) fn start(row: Row) -> Result<Self, Error> {
        let process = Process::of_row(row.name)?;
        Ok(Self { row, process, samples: Samples::default() })
    }
}

/// Time and allocations in process.
pub(super) fn in_process(
    rows: &mut [Measured],
    plan: &Plan,
    progress: &Progress,
) -> Result<(), Error> {
    for call in Kind::ALL {
        progress.stage(&format!("in process, {}", call.name()));
        for row in &mut *rows {
            let allocations = row.process.ask(Question::Allocations { call })?;
            row.samples.of(call).allocations = Some(allocations);
        }
        let (chunks, calls) = plan.chunks(call, false);
        for _ in 0..plan.in_process {
            for row in &mut *rows {
                let times = row.process.ask(Question::InProcess { call, chunks, calls })?;
                row.samples.of(call).times.push(times);
            }
        }
    }
    Ok(())
}

/// Time in process and over loopback around a handler that works.
pub(super) fn working(
    rows: &mut [Measured],
    plan: &Plan,
    progress: &Progress,
) -> Result<(), Error> {
    progress.stage(&format!("around a handler of {WORK} µs"));
    set_work(rows, loops_of(WORK))?;
    let whole = |row: &&mut Measured| row.row.is_whole() || row.row.group == Group::Bare;
    let call = Kind::Unary;
    let (chunks, calls) = plan.chunks(call, true);
    for _ in 0..plan.in_process / 2 + 1 {
        for row in rows.iter_mut().filter(whole) {
            let times = row.process.ask(Question::InProcess { call, chunks, calls })?;
            row.samples.working.times.push(times);
        }
    }
    let calls = plan.calls(call, true);
    for _ in 0..plan.end_to_end {
        for row in rows.iter_mut().filter(whole) {
            let loads = row.process.ask(Question::Together { call, calls })?;
            row.samples.working.together.push(loads);
        }
    }
    set_work(rows, 0)
}

fn set_work(rows: &mut [Measured], loops: u32) -> Result<(), Error> {
    rows.iter_mut().try_for_each(|row| {
        row.process.ask::<Done>(Question::Work { loops })?;
        Ok(())
    })
}

/// The loops of [`work`] that take this many microseconds.
fn loops_of(micros: u32) -> u32 {
    const LOOPS: u32 = 20_000;
    let took = (0..50).map(|_| {
        let start = thread_time();
        work(black_box(LOOPS));
        thread_time().saturating_sub(start).as_secs_f64() * 1e6
    });
    let took = statistics::median(took).unwrap_or(1.0).max(1e-3);
    (f64::from(LOOPS) * f64::from(micros) / took) as u32
}

/// Throughput, processor time and latency over loopback, of the rows and of other programs.
pub(super) fn end_to_end(
    rows: &mut [Measured],
    others: &mut [Go],
    plan: &Plan,
    progress: &Progress,
) -> Result<(), Error> {
    for call in Kind::ALL {
        progress.stage(&format!("over loopback, {}", call.name()));
        let calls = plan.calls(call, false);
        // The first round starts the servers.
        for round in 0..=plan.end_to_end {
            for row in rows.iter_mut().filter(|row| row.row.is_served()) {
                let together = row.process.ask(Question::Together { call, calls })?;
                let apart = row.process.ask(Question::Apart { call, calls })?;
                if round > 0 {
                    row.samples.of(call).together.push(together);
                    row.samples.of(call).apart.push(apart);
                }
            }
            for other in &mut *others {
                let together = other.process.ask(Question::Together { call, calls })?;
                if round > 0 {
                    other.samples.of(call).together.push(together);
                }
            }
        }
    }
    Ok(())
}

/// The time of unary calls in states that grow.
pub(super) fn growth(rows: &mut [Measured], plan: &Plan, progress: &Progress) -> Result<(), Error> {
    let (call, chunks, calls) = (Kind::Unary, 16, 64);
    for state in plan.states().concat() {
        progress.stage(&format!("growth, {state:?}"));
        let grown = |row: &&mut Measured| plan::grows(&row.row, state);
        // All of them at the same time: only what follows is timed.
        for row in rows.iter_mut().filter(grown) {
            row.process.send(Question::Prepare(state))?;
        }
        for row in rows.iter_mut().filter(grown) {
            let Prepared { bytes_per_stream } = row.process.receive()?;
            row.samples.growth.push(Grown { state, times: Vec::new(), bytes_per_stream });
        }
        for _ in 0..plan.growth {
            for row in rows.iter_mut().filter(grown) {
                let times = row.process.ask(Question::InProcess { call, chunks, calls })?;
                if let Some(grown) = row.samples.growth.last_mut() {
                    grown.times.push(times);
                }
            }
        }
    }
    Ok(())
}
