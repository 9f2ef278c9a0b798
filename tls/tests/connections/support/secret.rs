use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Ca, Identity};

/// A folder as Kubernetes mounts a secret of cert-manager: `tls.crt` is a link to `..data/tls.crt`, and `..data` one to
/// a folder that is never changed. A new set replaces the link `..data`.
pub(crate) struct Secret {
    folder: TempDir,
    sets: Cell<u32>,
}

impl Secret {
    /// `tls.crt`, `tls.key` and `ca.crt`.
    pub(crate) fn new(identity: &Identity, cas: &[&Ca]) -> Self {
        let secret = Self { folder: TempDir::new().unwrap(), sets: Cell::new(0) };
        secret.replace(identity, cas);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(format!("..data/{name}"), secret.path(name)).unwrap();
        }
        secret
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces all files at once.
    pub(crate) fn replace(&self, identity: &Identity, cas: &[&Ca]) {
        let set = format!("..set{}", self.sets.replace(self.sets.get() + 1));
        fs::create_dir(self.path(&set)).unwrap();
        let cas = cas.iter().map(|ca| &*ca.pem).collect::<String>();
        for (name, pem) in
            [("tls.crt", &identity.certificate), ("tls.key", &identity.key), ("ca.crt", &cas)]
        {
            fs::write(self.path(&set).join(name), pem).unwrap();
        }
        symlink(set, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }

    /// Writes one file in place.
    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }
}
