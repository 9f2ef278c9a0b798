//! `orders token`: a token of the development key.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use super::{DEV_KEY, DevKey, NoDevKey, READ, WRITE};
use crate::cli::TokenArgs;

/// Why no token is printed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotPrint {
    /// There is no key to make it by.
    DevKey(NoDevKey),
    /// Standard output cannot be written.
    Output(io::Error),
}

/// Prints a token, and nothing else.
pub fn print_token(args: &TokenArgs) -> Result<(), CannotPrint> {
    let key = DevKey::read(&args.dev_key).map_err(CannotPrint::DevKey)?;
    let token = key.mint(&args.scope, args.ttl);
    let mut out = io::stdout().lock();
    writeln!(out, "{token}").and_then(|()| out.flush()).map_err(CannotPrint::Output)
}

/// A line that can be typed in again, in the same folder.
pub(crate) fn how_to_get_a_token(key: &Path) -> String {
    let name = key.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let named = if key == Path::new(DEV_KEY) {
        String::new()
    } else if name.chars().all(plain) {
        format!(" --dev-key {name}")
    } else {
        format!(" --dev-key '{}'", name.replace('\'', r"'\''"))
    };
    format!("for a token: orders token --scope {READ} --scope {WRITE}{named}\n")
}

impl fmt::Display for CannotPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DevKey(error) => error.fmt(f),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl std::error::Error for CannotPrint {}
