//! What a test's thread logs, as text.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once, PoisonError};

/// The log of this thread, from every level, as `tracing_subscriber::fmt` writes it.
///
/// One global subscriber serves all tests of a binary: with several, what is enabled for one thread depends on
/// the others.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

/// Collects until it is dropped.
#[derive(Debug)]
pub struct Collecting(());

struct ToThisThread;

thread_local! {
    static COLLECTED: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

impl Lines {
    /// What was collected so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Collects what this thread logs from now on.
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
