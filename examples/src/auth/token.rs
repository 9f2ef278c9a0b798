//! `orders token`: prints a token signed with the development key.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use super::{DEV_KEY, DevKey, NoDevKey, READ, WRITE};
use crate::cli::TokenArgs;
use crate::shell;

/// Why no token is printed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotPrint {
    /// The development key cannot be read.
    DevKey(NoDevKey),
    /// The token cannot be signed.
    Signing(jsonwebtoken::errors::Error),
    /// Standard output cannot be written.
    Output(io::Error),
}

/// Prints a token and nothing else to standard output; notes go to standard error.
pub fn print_token(args: &TokenArgs) -> Result<(), CannotPrint> {
    let key = DevKey::read(&args.dev_key).map_err(CannotPrint::DevKey)?;
    let token = key.mint(&args.scope, args.ttl).map_err(CannotPrint::Signing)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{token}").and_then(|()| out.flush()).map_err(CannotPrint::Output)?;
    if let Some(note) = note(&args.scope) {
        // The token is valid even if the note cannot be written.
        _ = writeln!(io::stderr().lock(), "{note}");
    }
    Ok(())
}

/// A note about missing or unknown scopes.
fn note(scopes: &[String]) -> Option<String> {
    let known = format!("there are {READ} and {WRITE}");
    if scopes.is_empty() {
        return Some(format!("note: without --scope the token allows no method; {known}"));
    }
    let unknown = scopes.iter().find(|scope| ![READ, WRITE].contains(&scope.as_str()))?;
    Some(format!("note: no method requires the scope {unknown}; {known}"))
}

/// The line with the command that prints a token, ready to be pasted into a shell in the same folder.
pub(crate) fn how_to_get_a_token(key: &Path) -> String {
    let program = shell::program();
    let mut line = format!("for a token: {program} token --scope {READ} --scope {WRITE}");
    if key != Path::new(DEV_KEY) {
        line += " --dev-key ";
        line += &shell::quoted(&key.to_string_lossy());
    }
    line + "\n"
}

impl fmt::Display for CannotPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DevKey(error) => error.fmt(f),
            Self::Signing(error) => write!(f, "cannot sign the token: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}

impl std::error::Error for CannotPrint {}
