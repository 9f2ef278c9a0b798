//! The files of the certificates.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::CertsError;

pub(crate) const CA: &str = "ca.crt";
pub(super) const CA_KEY: &str = "ca.key";
pub(crate) const SERVER: &str = "server.crt";
pub(crate) const SERVER_KEY: &str = "server.key";
pub(crate) const CLIENT: &str = "client.crt";
pub(crate) const CLIENT_KEY: &str = "client.key";

const ALL: [&str; 6] = [CA, CA_KEY, SERVER, SERVER_KEY, CLIENT, CLIENT_KEY];

/// A certificate and its key, in PEM.
pub(super) struct Pem {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What the files contain.
pub(super) struct Contents {
    pub(super) ca: Pem,
    pub(super) server: Pem,
    pub(super) client: Pem,
}

/// The files in one folder.
pub(super) struct Files<'a> {
    folder: &'a Path,
}

impl<'a> Files<'a> {
    pub(super) fn in_folder(folder: &'a Path) -> Self {
        Self { folder }
    }

    pub(super) fn check_absent(&self) -> Result<(), CertsError> {
        let mut paths = ALL.iter().map(|name| self.folder.join(name));
        // A link that leads nowhere exists, too.
        match paths.find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => Err(CertsError::Exists(path)),
            None => Ok(()),
        }
    }

    /// Writes all of them, or none.
    pub(super) fn write(&self, contents: &Contents) -> Result<(), CertsError> {
        let folder = self.folder;
        fs::create_dir_all(folder)
            .map_err(|error| CertsError::Unwritable(folder.to_owned(), error))?;
        let Contents { ca, server, client } = contents;
        let mut written = Vec::new();
        for (name, pem, is_secret) in [
            (CA, &ca.certificate, false),
            (CA_KEY, &ca.key, true),
            (SERVER, &server.certificate, false),
            (SERVER_KEY, &server.key, true),
            (CLIENT, &client.certificate, false),
            (CLIENT_KEY, &client.key, true),
        ] {
            let path = folder.join(name);
            match write_new(&path, pem, is_secret) {
                Ok(()) => written.push(path),
                Err(error) => {
                    remove(&written);
                    return Err(match error.kind() {
                        ErrorKind::AlreadyExists => CertsError::Exists(path),
                        _ => CertsError::Unwritable(path, error),
                    });
                }
            }
        }
        Ok(())
    }
}

fn write_new(path: &Path, pem: &str, is_secret: bool) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = is_secret;
    let mut file = options.open(path)?;
    let written = file.write_all(pem.as_bytes());
    if written.is_err() {
        remove(&[path.to_owned()]);
    }
    written
}

fn remove(paths: &[PathBuf]) {
    for path in paths {
        _ = fs::remove_file(path);
    }
}
