//! Errors of the development key.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the development key cannot be used, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoDevKey {
    /// The file does not exist.
    Missing(PathBuf),
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file cannot be created.
    NotMade(PathBuf, io::Error),
    /// Other users may read or write the file.
    Open(PathBuf),
    /// The file belongs to another user.
    OfAnother(PathBuf),
    /// The file does not contain a development key.
    NotAKey(PathBuf, String),
}

impl fmt::Display for NoDevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "the development key {path:?} does not exist: `orders serve` creates it at its start; or choose \
                 another file with --dev-key FILE"
            ),
            Self::Unreadable(path, error) => write!(
                f,
                "cannot read the development key {path:?}: {error}; choose another file with --dev-key FILE"
            ),
            Self::NotMade(path, error) => write!(
                f,
                "cannot create the development key {path:?}: {error}; choose another file with --dev-key FILE, \
                 or trust an issuer with --issuer"
            ),
            Self::Open(path) => write!(
                f,
                "the development key {path:?} can be read or written by other users: run chmod 600; if others \
                 may have read it, delete it, and `orders serve` creates a new one"
            ),
            Self::OfAnother(path) => write!(
                f,
                "the development key {path:?} belongs to another user, who could sign tokens with it; choose \
                 another file with --dev-key FILE"
            ),
            Self::NotAKey(path, error) => write!(
                f,
                "{path:?} is not a development key: {error}; choose another file with --dev-key FILE, or delete \
                 this one, and `orders serve` creates a key"
            ),
        }
    }
}

impl std::error::Error for NoDevKey {}
