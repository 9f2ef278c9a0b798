//! `orders token`: a token of the development key.

use std::env;
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

/// Prints a token, and nothing else; what may be wrong with it is told on standard error.
pub fn print_token(args: &TokenArgs) -> Result<(), CannotPrint> {
    let key = DevKey::read(&args.dev_key).map_err(CannotPrint::DevKey)?;
    let token = key.mint(&args.scope, args.ttl);
    let mut out = io::stdout().lock();
    writeln!(out, "{token}").and_then(|()| out.flush()).map_err(CannotPrint::Output)?;
    if let Some(note) = note(&args.scope) {
        // If nobody reads it, the token is good all the same.
        _ = writeln!(io::stderr().lock(), "{note}");
    }
    Ok(())
}

/// Whether something was left out, or spelt wrongly.
fn note(scopes: &[String]) -> Option<String> {
    let known = format!("there are {READ} and {WRITE}");
    if scopes.is_empty() {
        return Some(format!("note: without --scope the token opens nothing; {known}"));
    }
    let unknown = scopes.iter().find(|scope| ![READ, WRITE].contains(&scope.as_str()))?;
    Some(format!("note: no method asks for the scope {unknown}; {known}"))
}

/// A line whose command can be typed in again, in the same folder.
pub(crate) fn how_to_get_a_token(key: &Path) -> String {
    // As it was called, which need not be by its name alone.
    let program = env::args_os().next().unwrap_or_else(|| "orders".into());
    let program = for_a_shell(&program.to_string_lossy());
    let mut line = format!("for a token: {program} token --scope {READ} --scope {WRITE}");
    if key != Path::new(DEV_KEY) {
        line += " --dev-key ";
        line += &for_a_shell(&key.to_string_lossy());
    }
    line + "\n"
}

fn for_a_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
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
