//! Limits from a file: one a line, as `--limit` has them; an empty line and what begins with `#` says nothing.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use tonic_call::Methods;

use super::{Limit, Limits};
use crate::cli::Auth;

/// A file with so many bytes of limits is none.
const BYTES_AT_MOST: u64 = 1024 * 1024;

/// Where limits come from that may change.
#[derive(Clone, Debug)]
pub(super) struct FromFile {
    pub(super) path: PathBuf,
    /// Those of the command line, which hold as well.
    pub(super) given: Vec<Limit>,
    pub(super) auth: Auth,
}

impl FromFile {
    /// What is in it now, if all of it makes sense.
    pub(super) fn read(&self, behind: &[String], methods: &Methods) -> Result<Limits, String> {
        let path = self.path.display();
        let text = self.text().map_err(|error| format!("--limit-file {path}: {error}"))?;
        let mut limits = self.given.clone();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let wrong = |error: String| {
                let error = error.strip_prefix("--limit ").unwrap_or(&error);
                format!("--limit-file {path}, line {line}: {error}")
            };
            limits.push(text.parse().map_err(wrong)?);
            // With those before it: this line is the first that makes them wrong.
            let all = Limits::of(&limits, behind, self.auth).map_err(wrong)?;
            all.layers(methods).map_err(wrong)?;
        }
        let all = Limits::of(&limits, behind, self.auth)?;
        Ok(Limits { file: Some(self.clone()), ..all })
    }

    fn text(&self) -> std::io::Result<String> {
        let mut text = String::new();
        File::open(&self.path)?.take(BYTES_AT_MOST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > BYTES_AT_MOST {
            let why = "it is larger than 1 MiB";
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
        }
        Ok(text)
    }
}
