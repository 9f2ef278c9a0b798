//! Errors as one line.

use std::fmt::Display;

use tonic_call::{ErrorChain, sanitize};

/// The error and its sources.
pub(crate) fn error_text<E: Display + 'static>(error: &E) -> String {
    sanitize(&ErrorChain(error).to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use tonic::ConnectError;

    use super::*;

    #[test]
    fn sources_are_joined_in_one_line() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "refused\n");
        assert_eq!(error_text(&ConnectError(Box::new(refused))), r"refused\n");
    }
}
