//! The line that is being written.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

/// A line that needed more bytes than this is freed, so that one huge event does not hold its memory in each thread.
const KEPT_BYTES: usize = 16 * 1024;

/// Text of this length is copied without a call of `memcpy`, which takes longer than the copying.
pub(crate) const CHUNK: usize = 32;

thread_local! {
    static LINE: Cell<LineBuffer> = const { Cell::new(LineBuffer(Vec::new())) };
}

/// A line of text. Bytes, not a `String`: most of what is added is ASCII that was put together byte by byte, and nothing
/// has to check that again.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineBuffer(Vec<u8>);

impl LineBuffer {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text from this byte on, which must be the first one of a character.
    pub(crate) fn text_from(&self, start: usize) -> &str {
        str::from_utf8(&self.0[start..]).expect("only text is added, and removed")
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Adds an ASCII character.
    pub(crate) fn push(&mut self, ascii: u8) {
        debug_assert!(ascii.is_ascii(), "{ascii:#x}");
        self.0.push(ascii);
    }

    /// Adds ASCII text.
    pub(crate) fn push_ascii(&mut self, ascii: &[u8]) {
        debug_assert!(ascii.is_ascii(), "{ascii:?}");
        self.0.extend_from_slice(ascii);
    }

    /// Adds the first bytes of this text, which end before a character.
    #[inline]
    pub(crate) fn push_start(&mut self, chunk: &[u8; CHUNK], len: usize) {
        let end = self.0.len() + len;
        self.0.extend_from_slice(chunk);
        self.0.truncate(end);
    }

    /// Adds text that this has already.
    pub(crate) fn push_again(&mut self, place: Range<usize>) {
        self.0.extend_from_within(place);
    }

    /// Removes this ASCII character from the end, if it is there.
    pub(crate) fn pop_if(&mut self, ascii: u8) {
        if self.0.last() == Some(&ascii) {
            self.0.pop();
        }
    }
}

impl fmt::Write for LineBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// Calls `write` with an empty line, whose memory is that of the thread's last one.
///
/// The line is taken out of the thread-local, not borrowed: `write` may run code of others, which may write a line of
/// its own (with memory of its own), or panic. After the thread-local's destructor has run, each line has its own memory.
pub(crate) fn with_line<R>(write: impl FnOnce(&mut LineBuffer) -> R) -> R {
    let mut line = LINE.try_with(Cell::take).unwrap_or_default();
    let result = write(&mut line);
    if line.0.capacity() <= KEPT_BYTES {
        line.0.clear();
        let _ = LINE.try_with(|kept| kept.set(line));
    }
    result
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::panic::catch_unwind;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use super::*;

    #[test]
    fn a_line_within_a_line_is_another_one() {
        with_line(|outer| {
            outer.push_str("outer");
            with_line(|inner| {
                assert_eq!(inner.text_from(0), "");
                inner.push_str("inner");
            });
            assert_eq!(outer.text_from(0), "outer");
        });
    }

    #[test]
    fn after_a_panic_the_next_line_is_empty() {
        let panicked = catch_unwind(|| {
            with_line(|line| {
                line.push_str("half of a li");
                panic!("in the middle");
            })
        });
        assert!(panicked.is_err());
        with_line(|line| assert_eq!(line.text_from(0), ""));
    }

    #[test]
    fn memory_is_used_again_unless_it_is_huge() {
        with_line(|line| line.push_str(&"a".repeat(1_000)));
        with_line(|line| {
            assert_eq!(line.text_from(0), "");
            assert!(line.0.capacity() >= 1_000);
            line.push_str(&"a".repeat(KEPT_BYTES + 1));
        });
        with_line(|line| assert!(line.0.capacity() <= KEPT_BYTES));
    }

    /// Sends a line when its thread ends.
    struct AtTheEnd(Sender<String>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let Self(sender) = self;
            with_line(|line| {
                line.push_str("after the end");
                let _ = sender.send(line.text_from(0).to_owned());
            });
        }
    }

    #[test]
    fn a_thread_that_ends_may_still_write_lines() {
        thread_local! {
            static FIRST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
            static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
        }
        let (sender, lines) = channel();
        // One is dropped before the line's memory and one after it, in whichever order that happens.
        thread::spawn(move || {
            FIRST.set(Some(AtTheEnd(sender.clone())));
            with_line(|line| line.push_str("before the end"));
            LAST.set(Some(AtTheEnd(sender)));
        });
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["after the end"; 2]);
    }
}
