//! Whether a writer runs on this thread.

use std::cell::Cell;

thread_local! {
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// Exists while this thread renders a line and runs its writer.
pub(super) struct Writing(());

impl Writing {
    /// `None` while there is one on this thread: then the writer itself has caused a line. Writing that one could recurse
    /// without end, or wait for a lock that the writer holds.
    pub(super) fn start() -> Option<Self> {
        (!WRITING.replace(true)).then(|| Self(()))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_writes_one_line_at_a_time() {
        let writing = Writing::start();
        assert!(writing.is_some() && Writing::start().is_none() && Writing::start().is_none());
        let other = std::thread::spawn(|| Writing::start().is_some());
        assert!(other.join().expect("no panic"));
        drop(writing);
        assert!(Writing::start().is_some());
    }
}
