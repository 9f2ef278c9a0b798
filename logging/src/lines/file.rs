//! A log file that is opened again after it was rotated.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::open_file::OpenFile;

/// How often at most the file at the path is compared with the open one.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A file that lines are appended to, and that is opened again after `logrotate` or someone else has moved it away.
/// Clones share one open file.
///
/// At most once a second, a write looks whether the file at the path is still the open one, by device and inode. If it
/// is not, the file at the path is opened, or created, and the line goes there. On systems other than Unix only
/// [`reopen`](Self::reopen) does that.
///
/// ```no_run
/// use tonic_logging_layer::{LogFile, Lines, LoggingLayer};
///
/// let file = LogFile::append("/var/log/orders/access.log")?;
/// let layer = LoggingLayer::server().lines(file.clone());
/// # std::io::Result::Ok(())
/// ```
///
/// It is a [`MakeWriter`], and a [writer](io::Write) for a queue such as that of `tracing-appender`. Each write must be
/// whole lines. The write is made on the calling thread, and other threads wait for it.
///
/// # When the disk is full
///
/// A write that fails is an error for the writer, and is counted. If a part of the line was written, the next line starts
/// with a line feed: one line of the file is incomplete, and the lines after it are not. The same is done when the file
/// that is opened does not end in a line feed, for example after a crash. Empty lines are not written.
///
/// If the file at the path cannot be opened, lines still go to the file that was moved away, and opening is tried again
/// once a second. Only the first opening, in [`append`](Self::append), is an error for the caller.
#[derive(Clone)]
pub struct LogFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    must_reopen: AtomicBool,
    errors: AtomicU64,
    dropped: AtomicU64,
    current: Mutex<Current>,
}

struct Current {
    file: OpenFile,
    next_check: Instant,
    /// Whether the file was to be opened again, and that failed.
    is_stale: bool,
}

impl LogFile {
    /// Opens the file at this path, or creates it, to append to it.
    ///
    /// A new file has the permissions that the process's umask leaves, which are often those to be read by everybody.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened. Its directory must exist.
    pub fn append(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::with_clock(path, Instant::now)
    }

    /// Like [`append`](Self::append), with the clock that the second between two checks is measured by.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    pub fn with_clock(
        path: impl AsRef<Path>,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let file = OpenFile::append(&path)?;
        let current = Current { file, next_check: clock() + CHECK_EVERY, is_stale: false };
        Ok(Self(Arc::new(Inner {
            path,
            clock: Box::new(clock),
            must_reopen: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            current: Mutex::new(current),
        })))
    }

    /// Lets the next write open the file at the path again: for a handler of `SIGHUP`.
    pub fn reopen(&self) {
        self.0.must_reopen.store(true, Relaxed);
    }

    /// The number of writes and of openings that have failed so far.
    pub fn errors(&self) -> u64 {
        self.0.errors.load(Relaxed)
    }

    /// The number of writes so far that have failed: each is a line that is missing, or incomplete.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    fn write_lines(&self, lines: &[u8]) -> io::Result<()> {
        // A panic of the clock poisons the lock, and leaves what is in it as it was.
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.follow(&mut current);
        let written = current.file.write_lines(lines);
        if written.is_err() {
            self.0.errors.fetch_add(1, Relaxed);
            self.0.dropped.fetch_add(1, Relaxed);
        }
        written
    }
}

impl Inner {
    /// Opens the file at the path if it is another one than the open one.
    fn follow(&self, current: &mut Current) {
        let now = (self.clock)();
        let must_reopen = self.must_reopen.swap(false, Relaxed);
        if !must_reopen && now < current.next_check {
            return;
        }
        current.next_check = now + CHECK_EVERY;
        if !must_reopen && !current.is_stale && current.file.is_at(&self.path) {
            return;
        }
        match OpenFile::append(&self.path) {
            Ok(file) => (current.file, current.is_stale) = (file, false),
            Err(_) => {
                current.is_stale = true;
                self.errors.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Writes whole lines.
impl io::Write for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        (&*self).write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines.
impl io::Write for &LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.write_lines(lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LogFile {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> &'w Self {
        self
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFile")
            .field("path", &self.0.path)
            .field("errors", &self.errors())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
