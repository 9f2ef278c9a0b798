//! An access log of the layer's own: lines that do not pass through `tracing`.

mod common;
mod file;
mod open_file;
mod render;
mod writing;

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tonic_call::guarded;
use tracing::Level;
use tracing_core::Metadata;
use tracing_subscriber::fmt::MakeWriter;

pub use self::file::LogFile;
use self::writing::Writing;
use crate::json::buffer::with_line;
use crate::member::Line;
use crate::site::Site;

/// An access log: the lines of [`LoggingLayer::lines`](crate::LoggingLayer::lines), and the writer they go to.
///
/// Clones share the writer and the count of dropped lines. Keep one to read the count:
///
/// ```
/// use tonic_logging_layer::{Lines, LoggingLayer};
///
/// let lines = Lines::new(std::io::stderr);
/// let layer = LoggingLayer::server().lines(lines.clone());
/// assert_eq!(lines.dropped(), 0); // for a metric
/// ```
///
/// Each line is one call of [`write_all`](io::Write::write_all), with its line feed. The writer is any [`MakeWriter`]:
/// a function that returns one, such as [`std::io::stdout`], a [`LogFile`], or the `NonBlocking` of
/// `tracing-appender`. It runs on the thread that ends the call, so a writer that blocks also blocks calls.
///
/// # Which lines are lost
///
/// A line is lost, and counted by [`dropped`](Self::dropped), if the writer returns an error or panics, or if the
/// writer itself causes the line while it runs, for example because it sends lines through a client with this layer.
/// After an error the next line starts with a line feed, since part of the lost line may have been written: what reads
/// the log has to skip empty and incomplete lines.
///
/// A writer with a queue, such as `NonBlocking`, has a count of its own, and loses what is still queued when the process
/// is killed. A [`Mutex`](std::sync::Mutex) as a writer panics for good after its writer has panicked once.
#[derive(Clone)]
pub struct Lines {
    min_level: Level,
    output: Arc<Output<dyn WriteLine>>,
}

struct Output<W: ?Sized> {
    dropped: AtomicU64,
    /// Whether the last line may be incomplete, so that the next one has to start with a line feed.
    is_torn: AtomicBool,
    writer: W,
}

trait WriteLine: Send + Sync {
    fn write_line(&self, metadata: &Metadata<'_>, line: &[u8]) -> io::Result<()>;
}

impl<W> WriteLine for W
where
    W: for<'w> MakeWriter<'w> + Send + Sync,
{
    fn write_line(&self, metadata: &Metadata<'_>, line: &[u8]) -> io::Result<()> {
        self.make_writer_for(metadata).write_all(line)
    }
}

impl Lines {
    /// An access log that is written there.
    pub fn new(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) -> Self {
        let output = Output { dropped: AtomicU64::new(0), is_torn: AtomicBool::new(false), writer };
        Self { min_level: Level::INFO, output: Arc::new(output) }
    }

    /// Leaves out lines that are less severe than this; the default is `INFO`.
    #[must_use]
    pub fn min_level(self, level: Level) -> Self {
        Self { min_level: level, ..self }
    }

    /// The number of lines so far that are lost: see [above](Self#which-lines-are-lost).
    pub fn dropped(&self) -> u64 {
        self.output.dropped.load(Relaxed)
    }

    /// Whether lines of this level are written.
    pub(crate) fn takes(&self, level: Level) -> bool {
        // A more severe level is the smaller one.
        level <= self.min_level
    }

    pub(crate) fn write(&self, site: &Site, line: &impl Line) {
        let output = &*self.output;
        let Some(_writing) = Writing::start() else {
            output.dropped.fetch_add(1, Relaxed);
            return;
        };
        with_line(|text| {
            if output.is_torn.load(Relaxed) && output.is_torn.swap(false, Relaxed) {
                text.push(b'\n');
            }
            render::line(text, site, line);
            let write = || output.writer.write_line(site.metadata_of(), text.as_bytes());
            if !matches!(guarded(write), Ok(Ok(()))) {
                output.is_torn.store(true, Relaxed);
                output.dropped.fetch_add(1, Relaxed);
            }
        });
    }
}

impl<W> From<W> for Lines
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    fn from(writer: W) -> Self {
        Self::new(writer)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("min_level", &self.min_level)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
