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

/// What is written, in memory of just its size: it may be held for long.
pub(crate) fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    let mut out = OUT.take();
    out.clear();
    write(&mut out)?;
    if out.capacity() > KEPT_BYTES {
        return Ok(out.into());
    }
    let bytes = Bytes::copy_from_slice(&out);
    OUT.set(out);
    Ok(bytes)
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
