//! An open log file, in which every line starts on a line of its own.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

/// A file, or in tests another writer.
pub(super) struct OpenFile<W = File> {
    writer: W,
    id: Option<FileId>,
    end: LineEnd,
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    /// A line feed, or nothing so far.
    Whole,
    /// A part of a line, as its caller wrote it.
    Open,
    /// A part of a line whose rest could not be written.
    Torn,
}

impl OpenFile {
    /// Opens the file at this path, or creates it.
    pub(super) fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let metadata = file.metadata()?;
        let is_torn = metadata.is_file() && metadata.len() > 0 && !ends_in_line_feed(path);
        let end = if is_torn { LineEnd::Torn } else { LineEnd::Whole };
        Ok(Self { writer: file, id: FileId::of(&metadata), end })
    }

    /// Whether the file at this path is this one. Always so where files have no number.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let Some(id) = self.id else { return true };
        path.metadata().is_ok_and(|metadata| FileId::of(&metadata) == Some(id))
    }
}

impl<W: Write> OpenFile<W> {
    /// Writes lines in as few writes as the system makes of them. Ends a torn line first, and leaves out a line feed
    /// that would make an empty line.
    pub(super) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let starts_with_line_feed = lines.first() == Some(&b'\n');
        match self.end {
            LineEnd::Torn if !starts_with_line_feed => self.write_all(b"\n")?,
            LineEnd::Whole if starts_with_line_feed => return self.write_all(&lines[1..]),
            _ => {}
        }
        self.write_all(lines)
    }

    /// Like [`Write::write_all`], but remembers how the part ends that was written.
    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            let written = match self.writer.write(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result,
            };
            match written {
                Ok(count) => {
                    let is_whole = rest[count - 1] == b'\n';
                    self.end = if is_whole { LineEnd::Whole } else { LineEnd::Open };
                    rest = &rest[count..];
                }
                Err(error) => {
                    if self.end == LineEnd::Open {
                        self.end = LineEnd::Torn;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Whether the last byte of a file is a line feed. If it cannot be read, it is assumed to be one.
fn ends_in_line_feed(path: &Path) -> bool {
    let read = || {
        let mut file = File::open(path)?;
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        io::Result::Ok(last)
    };
    read().map_or(true, |last| last == *b"\n")
}

/// The number of a file on its system.
#[cfg_attr(not(unix), allow(dead_code))] // never made
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;

        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a number of bytes in pieces, then fails as a full disk does, until there is room again.
    #[derive(Default)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
        piece: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(self.piece);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn file(room: usize, piece: usize) -> OpenFile<Disk> {
        let writer = Disk { room, piece, ..Disk::default() };
        OpenFile { writer, id: None, end: LineEnd::Whole }
    }

    /// Writes lines to a disk with this room, and a last one after it got more room.
    fn written(room: usize, piece: usize, lines: &[&str]) -> String {
        let mut file = file(room, piece);
        for line in lines {
            let _ = file.write_lines(line.as_bytes());
        }
        file.writer.room = usize::MAX;
        file.write_lines(b"last\n").expect("there is room");
        String::from_utf8(file.writer.bytes).expect("text")
    }

    #[test]
    fn a_line_after_a_torn_one_starts_on_its_own_line() {
        for piece in [1, 2, 100] {
            for (room, expected) in [
                (0, "last\n"),
                (1, "f\nlast\n"),
                (5, "first\nlast\n"),
                (6, "first\nlast\n"),
                (7, "first\ns\nlast\n"),
                (12, "first\nsecond\nlast\n"),
                (13, "first\nsecond\nlast\n"),
            ] {
                assert_eq!(written(room, piece, &["first\n", "second\n"]), expected, "{room}");
            }
        }
    }

    #[test]
    fn a_line_feed_of_the_caller_ends_a_torn_line_but_makes_no_empty_one() {
        for (room, expected) in [(1, "f\nlast\n"), (2, "fi\nlast\n"), (6, "first\nlast\n")] {
            assert_eq!(written(room, 100, &["first\n", "\nsecond\n"]), expected, "{room}");
        }
        assert_eq!(written(100, 100, &["\nfirst\n", "\nsecond\n"]), "first\nsecond\nlast\n");
    }

    #[test]
    fn a_line_may_be_written_in_parts() {
        assert_eq!(written(100, 100, &["a", "b", "c\n"]), "abc\nlast\n");
    }

    #[test]
    fn a_writer_that_takes_nothing_is_an_error() {
        struct Takes(usize);

        impl Write for Takes {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Ok(self.0)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let mut file = OpenFile { writer: Takes(0), id: None, end: LineEnd::Whole };
        let error = file.write_lines(b"x\n").expect_err("nothing was written");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
