//! A temporary folder.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A folder that only this user can read. It is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn create() -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("orders-demo-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // An existing one is an error: it may be another user's.
        builder.create(&path)?;
        Ok(Self(path))
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, contents: &str) -> io::Result<String> {
        fs::write(self.0.join(name), contents)?;
        Ok(self.file(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the folder is not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_with_its_files() {
        let folder = Folder::create().expect("created");
        let path = folder.0.clone();
        folder.write("file", "text").expect("written");
        assert!(path.join("file").exists());
        drop(folder);
        assert!(!path.exists());
    }
}
