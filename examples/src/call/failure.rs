//! What went wrong with a call, as it is told to people.

use std::error::Error;
use std::fmt;

use tonic::Status;
use tonic::transport::Uri;
use tonic_call::{code_name, code_of_error};
use tonic_types::StatusExt;

/// Why there is no whole answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The call ended with this status.
    Status(Status),
    /// The call ended with this status, and this can be done about it.
    Refused(Status, String),
    /// The requests could not be read.
    Input(String),
    /// The answer could not be written.
    Output(String),
    /// Nobody reads standard output any more. That is no mistake.
    OutputClosed,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Failure {
    /// `error` ends in what the system said, such as "Connection refused".
    pub(super) fn connect(to: &Uri, error: &dyn Error) -> Self {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::Status(Status::unavailable(format!(
            "cannot connect to {to}: {cause}; start a server with `orders serve`, or name another \
             with --to URL"
        )))
    }
}

/// A connection that was lost is `UNAVAILABLE`; tonic calls it unknown.
impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let code = code_of_error(&status);
        Self::Status(if code == status.code() {
            status
        } else {
            Status::new(code, status.message())
        })
    }
}

fn tell(status: &Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let message = status.message();
    write!(f, "{}: {message}", code_name(status.code()))?;
    let details = status.get_details_bad_request();
    for wrong in details.into_iter().flat_map(|details| details.field_violations) {
        let told = message.contains(&format!("{} {}", wrong.field, wrong.description));
        if !told {
            write!(f, "\n  {}: {}", wrong.field, wrong.description)?;
        }
    }
    Ok(())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => tell(status, f),
            Self::Refused(status, advice) => {
                tell(status, f)?;
                write!(f, "\n  {advice}")
            }
            Self::Input(text) | Self::Output(text) => f.write_str(text),
            Self::OutputClosed => f.write_str("nobody reads standard output"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl Error for Failure {}
