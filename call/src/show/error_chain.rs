use std::error::Error;
use std::fmt::{self, Display};

use tonic::Status;

use crate::observe::error_code::as_error;

/// Displays an error with its sources, since its own text often omits them: `transport error: tcp connect
/// error: Connection refused`. A status is displayed as its message.
///
/// The text is not [sanitized](crate::sanitize).
#[derive(Debug)]
pub struct ErrorChain<'a, E>(pub &'a E);

impl<E: Display + 'static> Display for ErrorChain<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(error) = as_error(self.0) else { return self.0.fmt(f) };
        let mut shown = text(error);
        f.write_str(&shown)?;
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = text(error);
            // Some errors include the text of their source.
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

fn text(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::fit::BoxError;

    #[test]
    fn an_error_is_shown_with_each_of_its_sources_once() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let boxed: BoxError = Box::new(tonic::ConnectError(Box::new(refused())));
        assert_eq!(ErrorChain(&boxed).to_string(), "connection refused");

        let mut status = Status::unavailable("no way there");
        status.set_source(Arc::new(refused()));
        assert_eq!(ErrorChain(&status).to_string(), "no way there: connection refused");
        assert_eq!(ErrorChain(&"a text").to_string(), "a text");
    }
}
