//! Memory that the messages of a thread use one after the other.

use std::cell::Cell;

use bytes::Bytes;

use super::to::Span;

/// Larger buffers are not kept.
const KEPT_BYTES: usize = 64 * 1_024;
const KEPT_SPANS: usize = 1_024;

thread_local! {
    static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPANS: Cell<Vec<Span>> = const { Cell::new(Vec::new()) };
}

/// What is written, as by [`finish`].
pub(crate) fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    let mut out = buffer();
    write(&mut out)?;
    Ok(finish(out))
}

/// An empty buffer to write to, which [`finish`] takes back.
pub(crate) fn buffer() -> Vec<u8> {
    let mut out = OUT.take();
    out.clear();
    out
}

/// What is in the buffer, in memory of just its size: it may be held for long.
pub(crate) fn finish(out: Vec<u8>) -> Bytes {
    if out.capacity() > KEPT_BYTES {
        return out.into();
    }
    let bytes = Bytes::copy_from_slice(&out);
    OUT.set(out);
    bytes
}

pub(super) fn with_spans<T>(with: impl FnOnce(&mut Vec<Span>) -> T) -> T {
    let mut spans = SPANS.take();
    spans.clear();
    let result = with(&mut spans);
    if spans.capacity() <= KEPT_SPANS {
        SPANS.set(spans);
    }
    result
}
