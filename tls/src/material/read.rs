//! Reads a set of files as one.

use std::fs::{self, File};
use std::io::{self, Read as _};

use super::error::{Problem, TlsError};
use super::file::TlsFile;

/// The contents of each file, in the order of the files.
pub(crate) type Contents = Vec<Vec<u8>>;

/// A file can be larger than it should be, or grow while it is read.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How often a set that changes while it is read is read again.
const ATTEMPTS: usize = 5;

impl TlsFile {
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        let unreadable =
            |error: io::Error| TlsError::of(self, Problem::Unreadable(error.to_string()));
        // Opening a named pipe blocks until something writes to it, and a device can be endless.
        if !fs::metadata(&self.path).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let file = File::open(&self.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if read as u64 > MAX_BYTES {
            return Err(TlsError::of(self, Problem::TooLarge));
        }
        Ok(bytes)
    }
}

/// Reads each file once. If they are replaced meanwhile, the result is a mixture.
pub(crate) fn read(files: &[TlsFile]) -> Result<Contents, TlsError> {
    files.iter().map(TlsFile::read).collect()
}

/// Reads all files until two reads in succession give the same: then no file was replaced between the two, and the
/// contents belong together.
pub(crate) fn read_stable(files: &[TlsFile]) -> Result<Contents, TlsError> {
    let mut last = read(files)?;
    for _ in 0..ATTEMPTS {
        let again = read(files)?;
        if again == last {
            return Ok(last);
        }
        last = again;
    }
    Err(TlsError::without_file(Problem::Unstable))
}
