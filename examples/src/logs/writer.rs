//! Writes log lines to standard error without blocking the code that logs.
//!
//! A pipe holds 64 KiB. If its reader stalls, the next write blocks, and with it every call that logs. So one
//! thread writes from a bounded queue; when the queue is full, lines are dropped and counted in
//! `log_lines_dropped_total`.
//!
//! `tracing-appender` has a similar writer. Its queue is bounded by lines instead of bytes, and if the reader
//! stalls it ends with a `println!`, which can block, too.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use metrics::{counter, describe_counter};

/// Maximum size of the queue in bytes: about 8,000 lines of calls.
const MAX_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// What a queued line costs beside its text.
const LINE_OVERHEAD: usize = 64;

/// How long queued lines may delay the exit of the process.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

const DROPPED: &str = "log_lines_dropped_total";

/// The writer of this process, once it is started.
static WRITER: OnceLock<Queue> = OnceLock::new();

struct Queue {
    send: Sender<Item>,
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Lines that were dropped since the process started.
    dropped: AtomicU64,
}

enum Item {
    Line(Vec<u8>),
    /// Notifies the sender when all lines before it are written.
    Flush(Sender<()>),
}

/// Starts the thread that writes what [`stderr`] receives. Must be called once.
pub fn start() -> io::Result<()> {
    let (send, items) = mpsc::channel();
    if WRITER.set(Queue::new(send)).is_ok() {
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            if let Some(queue) = WRITER.get() {
                queue.write(&items, &mut io::stderr());
            }
        })?;
    }
    Ok(())
}

/// Describes the metric. Must be called when the metrics recorder is installed.
pub(crate) fn describe_metrics() {
    describe_counter!(
        DROPPED,
        "Log lines that were dropped because standard error was not read in time."
    );
    counter!(DROPPED)
        .absolute(WRITER.get().map_or(0, |queue| queue.dropped.load(Ordering::Relaxed)));
}

/// Waits until all lines are written, for 2 s at most. Must be called last.
pub fn finish() {
    flush(FINISH_TIMEOUT);
}

/// Waits until all lines are written, for `timeout` at most. Returns whether they are.
pub(crate) fn flush(timeout: Duration) -> bool {
    WRITER.get().is_none_or(|queue| queue.flush(timeout))
}

/// Standard error. Each write must be one or more whole lines; it is written or dropped as a whole.
///
/// Unless the writer is [started](start), each write is written at once.
pub fn stderr() -> Stderr {
    Stderr(())
}

/// The writer that [`stderr`] returns.
#[derive(Debug)]
pub struct Stderr(());

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match WRITER.get() {
            Some(queue) => queue.push(line),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// One write, instead of one for each argument.
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(text.to_string().as_bytes())
    }
}

impl Queue {
    fn new(send: Sender<Item>) -> Self {
        Self { send, waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0) }
    }

    fn push(&self, line: &[u8]) {
        let size = line.len() + LINE_OVERHEAD;
        let room = |waiting: usize| waiting.checked_add(size).filter(|sum| *sum <= MAX_QUEUE_BYTES);
        let fits = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !fits || self.send.send(Item::Line(line.to_owned())).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        counter!(DROPPED).absolute(dropped);
    }

    fn flush(&self, timeout: Duration) -> bool {
        let (wake, woken) = mpsc::channel();
        self.send.send(Item::Flush(wake)).is_ok() && woken.recv_timeout(timeout).is_ok()
    }

    /// Writes items until there are no more senders.
    fn write(&self, items: &Receiver<Item>, to: &mut impl Write) {
        let mut reported = 0;
        for item in items {
            match item {
                Item::Line(line) => {
                    let written = to.write_all(&line);
                    let waiting =
                        self.waiting.fetch_sub(line.len() + LINE_OVERHEAD, Ordering::Relaxed);
                    if written.is_err() {
                        // The disk is full, or the reader is gone.
                        self.drop_one();
                        reported += 1;
                    } else if waiting == line.len() + LINE_OVERHEAD {
                        self.report_dropped(&mut reported);
                    }
                }
                Item::Flush(wake) => _ = wake.send(()),
            }
        }
    }

    /// The queue is empty again: logs how many lines were dropped.
    fn report_dropped(&self, reported: &mut u64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let lines = dropped.saturating_sub(*reported);
        *reported = dropped;
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped: standard error was not read in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A reader that reads nothing until it is let: it gets what was written so far, and then all.
    struct Gate {
        open: Receiver<()>,
        written: Arc<std::sync::Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Disconnected: it is open for good.
            _ = self.open.recv();
            self.written.lock().expect("no panic in here").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_does_not_fit_is_counted_and_no_more() {
        let (send, items) = mpsc::channel();
        let queue = Arc::new(Queue::new(send));
        let (let_through, open) = mpsc::channel();
        let written = Arc::default();
        let mut gate = Gate { open, written: Arc::clone(&written) };
        let thread = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.write(&items, &mut gate)
        });

        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..2 * MAX_QUEUE_BYTES / line.len() {
            queue.push(&line);
        }
        let fit = MAX_QUEUE_BYTES / (line.len() + LINE_OVERHEAD);
        let dropped = usize::try_from(queue.dropped.load(Ordering::Relaxed)).expect("few");
        assert_eq!(dropped, 2 * MAX_QUEUE_BYTES / line.len() - fit);
        assert!(!queue.flush(Duration::from_millis(10)), "nobody reads");

        drop(let_through);
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        // There is room again, and the last line is there when the flush is done.
        queue.push(b"last\n");
        assert!(queue.flush(Duration::from_secs(30)));
        let written = written.lock().expect("no panic in here");
        assert_eq!(written.len(), fit * line.len() + 5);
        assert!(written.ends_with(b"last\n"));
        drop(thread);
    }
}
