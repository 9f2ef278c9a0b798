//! Errors of opening the database.

use std::fmt;
use std::path::PathBuf;

/// Why the database cannot be opened, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder of the file does not exist.
    NoFolder(PathBuf),
    /// The path is a folder.
    IsFolder(PathBuf),
    /// The path is a device, a pipe or a socket.
    NotAFile(PathBuf),
    /// The file, or a file beside it, is not writable.
    NotWritable(PathBuf),
    /// The file is not a database of orders.
    NotOurs(PathBuf),
    /// A newer or a modified release of this program created the tables.
    OtherRelease(PathBuf),
    /// Another process uses it.
    InUse(PathBuf),
    /// The file is a damaged database.
    Damaged(PathBuf),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder(path) => write!(
                f,
                "cannot open the database {path:?}: its folder does not exist; create it, or \
                 choose another file with --db FILE"
            ),
            Self::IsFolder(path) => write!(
                f,
                "cannot open the database {path:?}: it is a folder; choose a file with --db FILE"
            ),
            Self::NotAFile(path) => write!(
                f,
                "cannot open the database {path:?}: it is not a regular file; choose a file with \
                 --db FILE"
            ),
            Self::NotWritable(path) => write!(
                f,
                "cannot open the database {path:?}: the file or its folder is not writable; \
                 change its permissions, or choose another file with --db FILE"
            ),
            Self::NotOurs(path) => write!(
                f,
                "cannot open the database {path:?}: it is not a database of orders and was not \
                 changed; choose another file with --db FILE"
            ),
            Self::OtherRelease(path) => write!(
                f,
                "cannot open the database {path:?}: another release of orders created it; run \
                 that release, or choose another file with --db FILE"
            ),
            Self::InUse(path) => write!(
                f,
                "cannot open the database {path:?}: it is in use by another process; stop \
                 that process, or choose another file with --db FILE"
            ),
            Self::Damaged(path) => write!(
                f,
                "cannot open the database {path:?}: the file is damaged; restore it from a \
                 backup, or choose another file with --db FILE"
            ),
            Self::Failed(error) => {
                write!(f, "cannot open the database: {error}; choose another file with --db FILE")
            }
        }
    }
}

impl std::error::Error for OpenError {}
