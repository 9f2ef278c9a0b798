//! The process of one row.

use std::io::{BufRead as _, Write as _, stdin, stdout};

use serde::Serialize;

use super::end_to_end::EndToEnd;
use super::in_process::InProcess;
use super::protocol::{Done, Kind, Question, State};
use super::rows::{self, Row};
use super::{Allocator, Error};
use crate::service::set_work;
use crate::subjects::enter_runtime;

/// Answers questions about a row from standard input until that ends.
pub(super) fn serve(name: &str, allocator: Allocator) -> Result<(), Error> {
    let mut worker = Worker::new(name, allocator)?;
    for line in stdin().lock().lines() {
        worker.answer(serde_json::from_str(&line?)?)?;
    }
    Ok(())
}

/// Makes calls of a row in process.
pub(super) fn make_calls(
    name: &str,
    allocator: Allocator,
    call: Kind,
    calls: u32,
) -> Result<(), Error> {
    let row = row(name)?;
    row.subscriber.install();
    let _inside = enter_runtime();
    let mut in_process = InProcess::prepare(&row, State::Plain, allocator).0;
    // Learns what the first call of this kind learns.
    in_process.calls(call, 1);
    (allocator.uncounted)(&mut || counted_calls(&mut in_process, call, calls));
    Ok(())
}

/// The name of the function in which valgrind counts.
pub(super) const COUNTED: &str = "counted_calls";

#[inline(never)]
fn counted_calls(in_process: &mut InProcess, call: Kind, calls: u32) {
    in_process.calls(call, calls);
}

fn row(name: &str) -> Result<Row, Error> {
    rows::named(name).ok_or_else(|| format!("there is no row `{name}`").into())
}

struct Worker {
    row: Row,
    allocator: Allocator,
    in_process: InProcess,
    /// Started when it is first asked for.
    end_to_end: Option<EndToEnd>,
}

impl Worker {
    fn new(name: &str, allocator: Allocator) -> Result<Self, Error> {
        let row = row(name)?;
        row.subscriber.install();
        let in_process = prepare(&row, State::Plain, allocator).0;
        Ok(Self { row, allocator, in_process, end_to_end: None })
    }

    fn answer(&mut self, question: Question) -> Result<(), Error> {
        match question {
            Question::Work { loops } => {
                set_work(loops);
                reply(Done {})
            }
            Question::Prepare(state) => {
                let prepared;
                (self.in_process, prepared) = prepare(&self.row, state, self.allocator);
                reply(prepared)
            }
            Question::InProcess { call, chunks, calls } => {
                reply(self.in_process.times(call, chunks, calls, self.allocator))
            }
            Question::Allocations { call } => {
                reply(self.in_process.allocations(call, self.allocator))
            }
            Question::Together { call, calls } => reply(self.servers()?.together(call, calls)),
            Question::Apart { call, calls } => reply(self.servers()?.apart(call, calls)),
        }
    }

    fn servers(&mut self) -> Result<&EndToEnd, Error> {
        if self.end_to_end.is_none() {
            self.end_to_end = Some(EndToEnd::start(&self.row, self.allocator)?);
        }
        self.end_to_end.as_ref().ok_or_else(|| "the servers were started".into())
    }
}

fn prepare(
    row: &Row,
    state: State,
    allocator: Allocator,
) -> (InProcess, super::protocol::Prepared) {
    // The upkeep of recorders needs a runtime.
    let _inside = enter_runtime();
    InProcess::prepare(row, state, allocator)
}

fn reply(answer: impl Serialize) -> Result<(), Error> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, &answer)?;
    writeln!(out)?;
    Ok(out.flush()?)
}
