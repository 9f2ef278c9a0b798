//! The line that is being written.

use std::cell::Cell;

/// A line that needed more bytes than this is freed, so that one huge event does not hold its memory in each thread.
const KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

/// Calls `write` with an empty line, whose memory is that of the thread's last one.
///
/// The line is taken out of the thread-local, not borrowed: `write` may run code of others, which may write a line of
/// its own (with memory of its own), or panic. After the thread-local's destructor has run, each line has its own memory.
pub(crate) fn with_line<R>(write: impl FnOnce(&mut String) -> R) -> R {
    let mut line = LINE.try_with(Cell::take).unwrap_or_default();
    let result = write(&mut line);
    if line.capacity() <= KEPT_BYTES {
        line.clear();
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
                assert_eq!(inner, "");
                inner.push_str("inner");
            });
            assert_eq!(outer, "outer");
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
        with_line(|line| assert_eq!(line, ""));
    }

    #[test]
    fn memory_is_used_again_unless_it_is_huge() {
        with_line(|line| line.push_str(&"a".repeat(1_000)));
        with_line(|line| {
            assert_eq!(line, "");
            assert!(line.capacity() >= 1_000);
            line.push_str(&"a".repeat(KEPT_BYTES + 1));
        });
        with_line(|line| assert!(line.capacity() <= KEPT_BYTES));
    }

    /// Sends a line when its thread ends.
    struct AtTheEnd(Sender<String>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let Self(sender) = self;
            with_line(|line| {
                line.push_str("after the end");
                let _ = sender.send(line.clone());
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
