//! Writes lines to standard error without ever blocking the code that logs them.
//!
//! A pipe holds 64 KiB. When its reader stalls, the next write blocks, and with it every call that logs: the
//! whole server. So one thread writes, from a bounded queue; when the queue is full, lines are dropped and
//! counted as `log_lines_dropped_total`.
//!
//! `tracing-appender` has such a writer. It is bounded by lines instead of bytes, and when its reader stalls
//! it ends with a `println!`, which can block as well.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use metrics::{counter, describe_counter};

/// Bytes that may wait to be written. Some 8,000 lines of calls.
const QUEUE: usize = 4 * 1024 * 1024;

/// What a line in the queue costs beside its text.
const LINE: usize = 64;

/// How long the lines that still wait may hold up the end of the process.
const LAST_LINES: Duration = Duration::from_secs(2);

const DROPPED: &str = "log_lines_dropped_total";

/// The writer of this process, once it is started.
static WRITER: OnceLock<Queue> = OnceLock::new();

struct Queue {
    send: Sender<Item>,
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Lines that were dropped since the start.
    dropped: AtomicU64,
}

enum Item {
    Line(Vec<u8>),
    /// Wakes its waiter when all before it is written.
    Flush(Sender<()>),
}

/// From here on, what is written to [`stderr`] is written by a thread of its own. To be called once.
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

/// Shows from here on how many lines were dropped. To be called when metrics are installed.
pub(crate) fn count() {
    describe_counter!(DROPPED, "Lines of the log that nobody read in time, and that were dropped.");
    counter!(DROPPED)
        .absolute(WRITER.get().map_or(0, |queue| queue.dropped.load(Ordering::Relaxed)));
}

/// Waits until what was written is at its reader, or cannot be: seconds at most. To be called last of all.
pub fn finish() {
    flush(LAST_LINES);
}

/// The same, for so long. Whether all was written.
pub(crate) fn flush(at_most: Duration) -> bool {
    WRITER.get().is_none_or(|queue| queue.flush(at_most))
}

/// Standard error. Each write is a line, or several whole ones: it is written or dropped as a whole.
///
/// Until the writer is [started](start), and in programs that do not start it, it writes at once.
pub fn stderr() -> Stderr {
    Stderr(())
}

/// What [`stderr`] gives.
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

    /// As one write, and not one for each piece.
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(text.to_string().as_bytes())
    }
}

impl Queue {
    fn new(send: Sender<Item>) -> Self {
        Self { send, waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0) }
    }

    fn push(&self, line: &[u8]) {
        let size = line.len() + LINE;
        let room = |waiting: usize| waiting.checked_add(size).filter(|sum| *sum <= QUEUE);
        let fits = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !fits || self.send.send(Item::Line(line.to_owned())).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        counter!(DROPPED).absolute(dropped);
    }

    /// Whether all that waits now is written within that time.
    fn flush(&self, at_most: Duration) -> bool {
        let (wake, woken) = mpsc::channel();
        self.send.send(Item::Flush(wake)).is_ok() && woken.recv_timeout(at_most).is_ok()
    }

    /// Writes what comes, until nobody can send any more.
    fn write(&self, items: &Receiver<Item>, to: &mut impl Write) {
        let mut told = 0;
        for item in items {
            match item {
                Item::Line(line) => {
                    let written = to.write_all(&line);
                    let waiting = self.waiting.fetch_sub(line.len() + LINE, Ordering::Relaxed);
                    if written.is_err() {
                        // A full disk, or a reader that is gone.
                        self.drop_one();
                        told += 1;
                    } else if waiting == line.len() + LINE {
                        self.tell_of_dropped(&mut told);
                    }
                }
                Item::Flush(wake) => _ = wake.send(()),
            }
        }
    }

    /// The queue is empty again: says in the log what is missing from it.
    fn tell_of_dropped(&self, told: &mut u64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let lines = dropped.saturating_sub(*told);
        *told = dropped;
        if lines > 0 {
            tracing::warn!(lines, "lines of this log were dropped: nobody read it in time");
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
        for _ in 0..2 * QUEUE / line.len() {
            queue.push(&line);
        }
        let fit = QUEUE / (line.len() + LINE);
        let dropped = usize::try_from(queue.dropped.load(Ordering::Relaxed)).expect("few");
        assert_eq!(dropped, 2 * QUEUE / line.len() - fit);
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
