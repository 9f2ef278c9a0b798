//! Whether the database works.

use std::path::PathBuf;

use super::{Store, StoreError};

/// The file that was opened.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    #[cfg_attr(not(unix), allow(dead_code))]
    id: Option<(u64, u64)>,
}

impl Store {
    /// Checks that orders can be read, that one could be written, and that the file is in its place: SQLite does not
    /// notice if the file is deleted or replaced, but the orders would be lost with the process.
    ///
    /// Waits as long as a call does for a connection or a lock.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.file().is_some_and(OpenedFile::is_gone) {
            return Err(StoreError::file_gone());
        }
        sqlx::query("SELECT seq FROM orders LIMIT 1").fetch_optional(&self.read).await?;
        self.begin().await?.rollback().await?;
        Ok(())
    }
}

impl OpenedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let id = id(&path);
        Self { path, id }
    }

    /// Whether there is no file or another file at its path.
    fn is_gone(&self) -> bool {
        self.id.is_some() && id(&self.path) != self.id
    }
}

/// The device and the number of a file.
#[cfg(unix)]
fn id(path: &std::path::Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn id(_: &std::path::Path) -> Option<(u64, u64)> {
    None
}
