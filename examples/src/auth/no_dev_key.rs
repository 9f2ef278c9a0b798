use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no development key, and how to mend it.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoDevKey {
    /// The file is not there.
    Missing(PathBuf),
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file cannot be made.
    NotMade(PathBuf, io::Error),
    /// Others than its owner may read the file, or change it.
    Open(PathBuf),
    /// The file belongs to another user.
    OfAnother(PathBuf),
    /// The file is something else.
    NotAKey(PathBuf, String),
}

impl fmt::Display for NoDevKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "there is no development key {path:?}: `orders serve` makes it when it starts; or name \
                 another with --dev-key FILE"
            ),
            Self::Unreadable(path, error) => write!(
                f,
                "cannot read the development key {path:?}: {error}; name another with --dev-key FILE"
            ),
            Self::NotMade(path, error) => write!(
                f,
                "cannot make the development key {path:?}: {error}; name another with --dev-key FILE, \
                 or an issuer with --issuer"
            ),
            Self::Open(path) => write!(
                f,
                "the development key {path:?} is not for its owner alone: chmod 600 makes it so; if \
                 others may have read it, remove it, and `orders serve` makes another"
            ),
            Self::OfAnother(path) => write!(
                f,
                "the development key {path:?} belongs to another user, who could let anybody in by it; \
                 name another with --dev-key FILE"
            ),
            Self::NotAKey(path, why) => write!(
                f,
                "{path:?} is not a development key: {why}; name another with --dev-key FILE, or, if nobody \
                 needs it, remove it, and `orders serve` makes one"
            ),
        }
    }
}

impl std::error::Error for NoDevKey {}
