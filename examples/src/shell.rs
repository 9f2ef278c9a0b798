//! Commands that are printed for a shell.

use std::env;

/// The path that the program was started by, which may be more than its name.
pub(crate) fn program() -> String {
    let program = env::args_os().next().unwrap_or_else(|| "orders".into());
    quoted(&program.to_string_lossy())
}

/// A word of a command, quoted if it must be.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
