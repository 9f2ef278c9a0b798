//! `--limit-file`: rate limits from a file, one per line in the form of `--limit`.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::PathBuf;

use tonic_call::Methods;

use super::call_limits::CallLimits;
use super::rate_limit::RateLimit;
use crate::auth::Auth;

/// Larger files are refused.
const MAX_BYTES: u64 = 1024 * 1024;

/// A file of limits that can be read again, and the flags that apply beside it.
#[derive(Clone, Debug)]
pub struct LimitFile {
    path: PathBuf,
    flags: Vec<RateLimit>,
    proxies: Vec<String>,
    auth: Auth,
}

impl LimitFile {
    /// The file at `path`; `flags` are the limits of the command line, which apply as well.
    pub fn new(path: PathBuf, flags: &[RateLimit], proxies: &[String], auth: Auth) -> Self {
        Self { path, flags: flags.to_owned(), proxies: proxies.to_owned(), auth }
    }

    /// Reads the file. The error names the first invalid line.
    pub(crate) fn read(&self, methods: &Methods) -> Result<CallLimits, String> {
        let path = self.path.display();
        let text = self.text().map_err(|error| format!("--limit-file {path}: {error}"))?;
        let mut limits = self.flags.clone();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let invalid = |error: String| {
                let error = error.strip_prefix("--limit ").unwrap_or(&error);
                format!("--limit-file {path}, line {line}: {error}")
            };
            limits.push(text.parse().map_err(invalid)?);
            // Together with the lines before it: an error is then due to this line.
            self.limits(&limits).map_err(invalid)?.layers(methods).map_err(invalid)?;
        }
        self.limits(&limits)
    }

    fn limits(&self, limits: &[RateLimit]) -> Result<CallLimits, String> {
        CallLimits::new(limits, &self.proxies, self.auth)
    }

    fn text(&self) -> std::io::Result<String> {
        let mut text = String::new();
        File::open(&self.path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::new(ErrorKind::FileTooLarge, "the file is larger than 1 MiB"));
        }
        Ok(text)
    }
}
