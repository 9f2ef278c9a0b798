//! States with many keys and many open streams.

use super::Allocator;
use super::setup::Setup;
use crate::subject::{Call, Open, Subject};

/// Lets callers with this many addresses call once, through
/// the one layer that stores them.
pub(super) fn add_keys(setup: &Setup, peer: bool, count: u32) {
    let mut limiter = match peer {
        true => Subject::new("tower_governor", setup.governor()),
        false => Subject::new("ratelimit", setup.ratelimit()),
    };
    limiter.called_by(0..count);
    for _ in 0..count {
        limiter.call(Call::Unary);
    }
}

/// Opens streams; also returns the bytes that the layers hold for each of them.
pub(super) fn open(
    subject: &mut Subject,
    streams: u32,
    allocator: Allocator,
) -> (Vec<Open>, Option<f64>) {
    let mut bare = subject.bare();
    let (beside, held_by_bare) = open_all(&mut bare, streams, allocator);
    drop(beside);
    let (open, held) = open_all(subject, streams, allocator);
    let bytes = (held - held_by_bare) as f64 / f64::from(streams);
    (open, (streams > 0).then_some(bytes))
}

fn open_all(service: &mut Subject, streams: u32, allocator: Allocator) -> (Vec<Open>, i64) {
    // What is created once does not count, nor does the memory of the list.
    drop(service.open());
    let mut open = Vec::with_capacity(streams as usize);
    let total = (allocator.count)(&mut || open.extend((0..streams).map(|_| service.open())));
    (open, total.kept)
}
