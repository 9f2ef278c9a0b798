//! Errors of `orders certs`.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why no certificates were made.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertsError {
    /// This file exists.
    Exists(PathBuf),
    /// This file or folder cannot be written.
    Unwritable(PathBuf, io::Error),
    /// The certificates cannot be issued.
    Issue(rcgen::Error),
    /// Standard output cannot be written.
    Output(io::Error),
}

impl fmt::Display for CertsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(
                f,
                "{} exists and is not overwritten; choose another folder, or remove the file",
                path.display()
            ),
            Self::Unwritable(path, error) => {
                write!(f, "cannot write {}: {error}", path.display())
            }
            Self::Issue(error) => write!(f, "cannot issue the certificates: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl std::error::Error for CertsError {}

impl From<rcgen::Error> for CertsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Issue(error)
    }
}
