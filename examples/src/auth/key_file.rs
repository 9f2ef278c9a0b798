//! The file of a development key: a JSON Web Key that only its owner can read.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::NoDevKey;
use crate::store::beside;

/// A key file is shorter than this.
const MAX_BYTES: u64 = 4096;

/// Reads the file. Refuses one that other users can read or could have written: they could sign tokens with it.
pub(super) fn read(path: &Path) -> Result<String, NoDevKey> {
    let unreadable = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => NoDevKey::Missing(path.to_owned()),
        ErrorKind::InvalidData => NoDevKey::NotAKey(path.to_owned(), "it is not text".to_owned()),
        _ => NoDevKey::Unreadable(path.to_owned(), error),
    };
    // Before the file is opened: opening a pipe waits until another process writes to it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(NoDevKey::NotAKey(path.to_owned(), "it is not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if belongs_to_another_user(&found) {
        return Err(NoDevKey::OfAnother(path.to_owned()));
    }
    if is_accessible_to_others(&found) {
        return Err(NoDevKey::Open(path.to_owned()));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Creates the file with a new key, unless another process does so first. It is never visible half-written.
pub(super) fn make(path: &Path) -> io::Result<()> {
    make_by(path, |draft, path| fs::hard_link(draft, path))
}

fn make_by(path: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let (mut secret, mut id) = ([0; 32], [0; 8]);
    for bytes in [&mut secret[..], &mut id] {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))?;
    }
    let [secret, id] = [&secret[..], &id].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let jwk = json!({ "kty": "oct", "use": "sig", "alg": "HS256", "kid": id, "k": secret });
    let text = format!("{jwk}\n");

    let draft = beside(path, &format!("-{id}"));
    let made = write_private(&draft, &text).and_then(|()| match link(&draft, path) {
        // Some file systems have no links. A rename could replace the key that another process has just created
        // and uses.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => write_private(path, &text),
        linked => linked,
    });
    _ = fs::remove_file(&draft);
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether users other than its owner may read or write the file.
#[cfg(unix)]
fn is_accessible_to_others(file: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o077 != 0
}

/// Whether the file belongs to another user, who can create it first in a folder that all users can write to.
#[cfg(unix)]
fn belongs_to_another_user(file: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(file) != rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_accessible_to_others(_: &fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn belongs_to_another_user(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_left_with_and_without_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let no_links = |_: &Path, _: &Path| Err(io::Error::from(ErrorKind::Unsupported));
        for name in ["linked", "written"] {
            let path = folder.path().join(name);
            let make = || match name {
                "linked" => make(&path),
                _ => make_by(&path, no_links),
            };
            make().expect("made");
            let first = read(&path).expect("readable");
            assert!(first.contains("HS256"), "{first}");
            make().expect("left");
            assert_eq!(read(&path).expect("readable"), first, "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 2, "no draft is left");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(read(folder.path()), Err(NoDevKey::NotAKey(..))));
        #[cfg(unix)]
        {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            let pipe = folder.path().join("pipe");
            mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
            assert!(matches!(read(&pipe), Err(NoDevKey::NotAKey(..))));
        }
    }

    #[cfg(unix)]
    #[test]
    fn it_is_its_owners_alone() {
        use std::os::unix::fs::{PermissionsExt, chown};

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        make(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        for bits in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).expect("ours");
            assert!(matches!(read(&path), Err(NoDevKey::Open(_))), "{bits:o}");
        }
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(1), None).expect("given away");
            assert!(matches!(read(&path), Err(NoDevKey::OfAnother(_))));
        }
    }
}
