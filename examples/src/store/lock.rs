//! One process per database file: news of changes do not leave it.

use std::fs::File;
use std::path::Path;

use super::CannotOpen;
use super::open::beside;

/// Says, as long as it is held, that this process serves the file.
#[derive(Debug)]
pub(super) struct Lock(#[cfg_attr(not(unix), allow(dead_code))] File);

impl Lock {
    /// A file of its own: SQLite loses its locks on the database when another handle to it is closed.
    pub(super) fn take(database: &Path) -> Result<Self, CannotOpen> {
        let path = beside(database, "-lock");
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                CannotOpen::NotWritable(database.to_owned())
            }
            _ => CannotOpen::Failed(format!("{path:?}: {error}")),
        })?;
        if is_taken(&file) {
            return Err(CannotOpen::InUse(database.to_owned()));
        }
        Ok(Self(file))
    }

    /// Another process may serve the file now.
    pub(super) fn release(&self) {
        #[cfg(unix)]
        {
            use rustix::fs::{FlockOperation, flock};
            _ = flock(&self.0, FlockOperation::Unlock);
        }
    }
}

/// Takes the lock if nobody else has it. Where there are no locks (some network file systems), nobody has.
#[cfg(unix)]
fn is_taken(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;
    flock(file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
}

#[cfg(not(unix))]
fn is_taken(_: &File) -> bool {
    false
}
