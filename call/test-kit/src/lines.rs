//! The log output of a test's thread, as text.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once, PoisonError};

/// The log of this thread, at all levels, as formatted by `tracing_subscriber::fmt`.
///
/// All tests of a binary share one global subscriber: with several subscribers, the levels enabled for one
/// thread depend on the others.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

/// Collects log lines until it is dropped.
#[derive(Debug)]
pub struct Collecting(());

struct ToThisThread;

thread_local! {
    static COLLECTED: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

impl Lines {
    /// The text collected so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts to collect what this thread logs.
    ///
    /// # Panics
    ///
    /// If the program has another global subscriber.
    pub fn collect(&self) -> Collecting {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing_subscriber::fmt()
                .with_writer(|| ToThisThread)
                .with_ansi(false)
                .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
                .init();
        });
        COLLECTED.set(Some(self.clone()));
        Collecting(())
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        COLLECTED.set(None);
    }
}

impl Write for ToThisThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        COLLECTED.with_borrow(|lines| {
            if let Some(lines) = lines {
                let mut text = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
