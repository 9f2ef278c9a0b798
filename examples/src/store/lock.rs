//! One process per database file: watchers are notified only within a process.

use std::fs::File;
use std::path::Path;

use super::database::beside;
use super::open_error::OpenError;

/// An exclusive lock on a database file, until it is dropped or released.
#[derive(Debug)]
pub(super) struct FileLock(#[cfg_attr(not(unix), allow(dead_code))] File);

impl FileLock {
    /// Locks a file beside the database: SQLite loses its own locks when another handle of the database is closed.
    pub(super) fn acquire(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, "-lock");
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable(database.to_owned())
            }
            _ => OpenError::Failed(format!("{path:?}: {error}")),
        })?;
        if is_locked(&file) {
            return Err(OpenError::InUse(database.to_owned()));
        }
        Ok(Self(file))
    }

    /// Lets another process use the database.
    pub(super) fn release(&self) {
        #[cfg(unix)]
        {
            use rustix::fs::{FlockOperation, flock};
            _ = flock(&self.0, FlockOperation::Unlock);
        }
    }
}

/// Locks the file, and returns whether another process has locked it. On file systems without locks (some network
/// file systems) none has.
#[cfg(unix)]
fn is_locked(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;
    flock(file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
}

#[cfg(not(unix))]
fn is_locked(_: &File) -> bool {
    false
}
