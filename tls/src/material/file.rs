//! The files, and what they should contain.

use std::path::{Path, PathBuf};

/// A file, and what it should contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFile {
    pub(crate) role: FileRole,
    pub(crate) path: PathBuf,
}

/// What a file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileRole {
    /// The certificate of this side, and the intermediate certificates that lead to its CA.
    Certificate,
    /// The private key of the certificate.
    Key,
    /// The CAs that issue the certificates of clients.
    ClientCa,
    /// The CAs that issue the certificates of servers.
    ServerCa,
    /// Certificate revocation lists.
    RevocationList,
}

impl TlsFile {
    pub(crate) fn new(role: FileRole, path: &Path) -> Self {
        Self { role, path: path.to_owned() }
    }

    pub(crate) fn certificate(path: impl AsRef<Path>) -> Self {
        Self::new(FileRole::Certificate, path.as_ref())
    }

    pub(crate) fn key(path: impl AsRef<Path>) -> Self {
        Self::new(FileRole::Key, path.as_ref())
    }
}

impl FileRole {
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Certificate => "the certificate file",
            Self::Key => "the private key file",
            Self::ClientCa => "the client CA file",
            Self::ServerCa => "the server CA file",
            Self::RevocationList => "the revocation list file",
        }
    }

    pub(super) fn content(self) -> &'static str {
        match self {
            Self::Certificate | Self::ClientCa | Self::ServerCa => "certificate",
            Self::Key => "unencrypted private key",
            Self::RevocationList => "certificate revocation list",
        }
    }
}
