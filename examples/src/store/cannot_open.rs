//! Why there is no store, told to who wants to start one.

use std::fmt;
use std::path::PathBuf;

/// Why a database could not be opened, and how to mend it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotOpen {
    /// The folder that the file should be in is not there.
    NoFolder(PathBuf),
    /// There is a folder in the file's place.
    IsFolder(PathBuf),
    /// There is something else in the file's place: a device, a pipe, a socket.
    NotAFile(PathBuf),
    /// The file, or one beside it, cannot be written.
    NotWritable(PathBuf),
    /// The file is something else.
    NotOurs(PathBuf),
    /// A newer release of this program, or a changed one, has written it.
    OtherRelease(PathBuf),
    /// Another process serves it, or does not let go of it.
    InUse(PathBuf),
    /// The file was a database of orders, and parts of it are broken.
    Damaged(PathBuf),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for CannotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder(path) => write!(
                f,
                "cannot open the database {path:?}: its folder does not exist; create it, or \
                 choose another file with --db PATH"
            ),
            Self::IsFolder(path) => write!(
                f,
                "cannot open the database {path:?}: it is a folder; choose a file with --db PATH"
            ),
            Self::NotAFile(path) => write!(
                f,
                "cannot open the database {path:?}: it is not a regular file; choose a file with \
                 --db PATH"
            ),
            Self::NotWritable(path) => write!(
                f,
                "cannot open the database {path:?}: the file or its folder is not writable; make \
                 it so, or choose another file with --db PATH"
            ),
            Self::NotOurs(path) => write!(
                f,
                "cannot open the database {path:?}: it is not a database of orders and was left \
                 as it is; choose another file with --db PATH"
            ),
            Self::OtherRelease(path) => write!(
                f,
                "cannot open the database {path:?}: another release of orders wrote it; run that \
                 one, or choose another file with --db PATH"
            ),
            Self::InUse(path) => write!(
                f,
                "cannot open the database {path:?}: it is in use by another process; stop that \
                 one, or choose another file with --db PATH"
            ),
            Self::Damaged(path) => write!(
                f,
                "cannot open the database {path:?}: the file is damaged; restore it from a \
                 backup, or choose another file with --db PATH"
            ),
            Self::Failed(error) => {
                write!(f, "cannot open the database: {error}; choose another file with --db PATH")
            }
        }
    }
}

impl std::error::Error for CannotOpen {}
