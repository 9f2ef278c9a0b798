//! Errors as one line.

use std::error::Error;
use std::fmt::Write as _;

use tonic_call::sanitize;

/// The error and its sources, joined by `: `. A source that the text before already ends with is left out.
pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        let part = error.to_string();
        if text.ends_with(&part) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{part}");
    }
    sanitize(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use tonic::ConnectError;

    use super::*;

    #[test]
    fn sources_are_joined_and_not_repeated() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "refused\n");
        assert_eq!(error_text(&ConnectError(Box::new(refused))), r"refused\n");
        let outer = io::Error::other(ConnectError("inner".into()));
        assert_eq!(error_text(&outer), "inner");
    }
}
