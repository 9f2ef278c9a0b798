use super::protocol::{Allocations, Kind, Prepared, State, Times};
use super::rows::Row;
use super::setup::Setup;
use super::statistics::median;
use super::{Allocator, growth};
use crate::many;
use crate::one_core::thread_time;
use crate::subject::{Call, Open, Subject};

/// The number of calls whose allocations are averaged: recorders store their samples in blocks.
const COUNTED: u32 = 640;
/// The calls that are made before any is measured: they create what is created once.
const WARM: u32 = 64;

/// A row in process, beside the bare service with the same calls.
#[derive(Debug)]
pub(super) struct InProcess {
    subject: Subject,
    bare: Subject,
    /// Streams that stay open.
    _open: Vec<Open>,
}

impl InProcess {
    /// The row in this state.
    pub(super) fn prepare(row: &Row, state: State, allocator: Allocator) -> (Self, Prepared) {
        let setup = Setup::new(match state {
            State::Methods(count) => many::with_others(count as usize),
            _ => many::known(),
        });
        let mut subject = (row.subject)(&setup);
        let (mut open, mut bytes_per_stream) = (Vec::new(), None);
        match state {
            State::Plain => {}
            State::Methods(count) => subject.calling(many::paths_of_others(count as usize)),
            State::Keys(count) => {
                growth::add_keys(&setup, row.is_of_peers(), count);
                subject.called_by(0..count);
            }
            State::Streams(streams) => {
                (open, bytes_per_stream) = growth::open(&mut subject, streams, allocator);
            }
        }
        let bare = subject.bare();
        let mut row = Self { subject, bare, _open: open };
        let warm = match state {
            // Each method once.
            State::Methods(count) => WARM.max(count),
            _ => WARM,
        };
        row.calls(Kind::Unary, warm);
        (row, Prepared { bytes_per_stream })
    }

    /// Makes this many calls, and none of the bare service.
    pub(super) fn calls(&mut self, call: Kind, calls: u32) {
        repeat(&mut self.subject, call.call(), calls);
    }

    /// Makes chunks of calls in turn with the bare service, and returns the medians of the chunks.
    pub(super) fn times(
        &mut self,
        call: Kind,
        chunks: u32,
        calls: u32,
        allocator: Allocator,
    ) -> Times {
        let call = call.call();
        let (mut bare, mut added) = (Vec::new(), Vec::new());
        (allocator.uncounted)(&mut || {
            for _ in 0..chunks {
                let beside = timed(&mut self.bare, call, calls);
                added.push(timed(&mut self.subject, call, calls) - beside);
                bare.push(beside);
            }
        });
        Times { bare: median(bare).unwrap_or_default(), added: median(added).unwrap_or_default() }
    }

    /// What one call allocates.
    pub(super) fn allocations(&mut self, call: Kind, allocator: Allocator) -> Allocations {
        let call = call.call();
        let [bare, subject] = [&mut self.bare, &mut self.subject].map(|service| {
            repeat(service, call, WARM);
            let total = (allocator.count)(&mut || repeat(service, call, COUNTED));
            [total.count, total.bytes].map(|total| total as f64 / f64::from(COUNTED))
        });
        Allocations { count: subject[0] - bare[0], bytes: subject[1] - bare[1] }
    }
}

/// Nanoseconds of one call, which never waits.
fn timed(service: &mut Subject, call: Call, calls: u32) -> f64 {
    let start = thread_time();
    repeat(service, call, calls);
    thread_time().saturating_sub(start).as_nanos() as f64 / f64::from(calls)
}

fn repeat(service: &mut Subject, call: Call, calls: u32) {
    for _ in 0..calls {
        service.call(call);
    }
}
