//! Errors of `orders call`, as they are printed.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tonic::transport::Uri;
use tonic::{Code, ConnectError, Status};
use tonic_call::{code_name, code_of_error};
use tonic_types::StatusExt;

/// Maximum time to connect; `--timeout` may be shorter.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The call ended with this status.
    Status(Status),
    /// The call ended with this status; the text says what to do about it.
    StatusWithHint(Status, String),
    /// Some of several calls failed: how many, by code.
    SomeFailed(String),
    /// The requests or the credentials cannot be read.
    Input(String),
    /// The response cannot be written.
    Output(String),
    /// Standard output was closed, which is not an error of the call.
    OutputClosed,
    /// Ctrl-C was pressed.
    Interrupted,
}

impl CallError {
    /// The code of the call; `None` if the error is one of this program.
    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Status(status) | Self::StatusWithHint(status, _) => Some(status.code()),
            _ => None,
        }
    }

    /// If the server may have created the order, names the key that repeats the call safely.
    pub(super) fn naming_key(self, key: &str) -> Self {
        match self {
            Self::Status(status) if may_have_been_processed(&status) => {
                let hint = format!(
                    "the order may exist; with --idempotency-key {key} the same call does not create a second one"
                );
                Self::StatusWithHint(status, hint)
            }
            error => error,
        }
    }

    /// Names the server if it could not be reached, and what to do about it.
    pub(super) fn naming_server(self, to: &Uri) -> Self {
        let cause = match &self {
            Self::Status(status) => failed_connect(status),
            _ => None,
        };
        let Some(cause) = cause else { return self };
        Self::Status(Status::unavailable(format!(
            "cannot connect to {to}: {cause}; start a server with `orders serve`, or choose another one with \
             --to URL"
        )))
    }
}

/// Whether the server may have done what was asked although the call failed.
fn may_have_been_processed(status: &Status) -> bool {
    let unknown = matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    );
    unknown && failed_connect(status).is_none()
}

/// Why there is no connection, as the system says it ("Connection refused"), if that is why the call failed.
fn failed_connect(status: &Status) -> Option<String> {
    let mut error = status.source()?;
    let (mut is_connect_error, mut timed_out) = (false, false);
    loop {
        is_connect_error |= error.is::<ConnectError>();
        let system = error.downcast_ref::<io::Error>();
        timed_out |= system.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        match error.source() {
            Some(source) => error = source,
            None if !is_connect_error => return None,
            None if timed_out => return Some(format!("no answer within {CONNECT_TIMEOUT:?}")),
            None => return Some(error.to_string()),
        }
    }
}

/// A lost connection is `UNAVAILABLE`; tonic reports `UNKNOWN`.
impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let code = code_of_error(&status);
        Self::Status(if code == status.code() {
            status
        } else {
            Status::new(code, status.message())
        })
    }
}

fn write_status(status: &Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let message = status.message();
    write!(f, "{}: {message}", code_name(status.code()))?;
    let details = status.get_details_bad_request();
    for violation in details.into_iter().flat_map(|details| details.field_violations) {
        let in_message =
            message.contains(&format!("{} {}", violation.field, violation.description));
        if !in_message {
            write!(f, "\n  {}: {}", violation.field, violation.description)?;
        }
    }
    let limits = status.get_details_quota_failure();
    for limit in limits.into_iter().flat_map(|details| details.violations) {
        write!(f, "\n  {}: {}", limit.subject, limit.description)?;
    }
    let wait = status.get_details_retry_info().and_then(|details| details.retry_delay);
    match wait.map(rounded) {
        Some(wait) if !message.contains(&wait) => write!(f, "\n  try again in {wait}"),
        _ => Ok(()),
    }
}

/// Rounded up, so that a retry after it is not too early.
fn rounded(wait: Duration) -> String {
    match wait.as_nanos() {
        short if wait <= Duration::from_secs(10) => format!("{} ms", short.div_ceil(1_000_000)),
        long => format!("{} s", long.div_ceil(1_000_000_000)),
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write_status(status, f),
            Self::StatusWithHint(status, advice) => {
                write_status(status, f)?;
                write!(f, "\n  {advice}")
            }
            Self::SomeFailed(text) | Self::Input(text) | Self::Output(text) => f.write_str(text),
            Self::OutputClosed => f.write_str("standard output is closed"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl Error for CallError {}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, QuotaViolation};

    use super::*;

    fn told(message: &str, wait: Duration) -> String {
        let mut details = ErrorDetails::new();
        let limit = QuotaViolation::new("principal", "5 calls per second, 10 at once");
        details.set_quota_failure([limit]);
        details.set_retry_info(Some(wait));
        let status = Status::with_error_details(Code::ResourceExhausted, message, details);
        CallError::Status(status).to_string()
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_named_with_the_reason() {
        let to = Uri::from_static("http://127.0.0.1:1");
        for (kind, reason) in [
            (io::ErrorKind::TimedOut, "http://127.0.0.1:1/: no answer within 10s;"),
            (io::ErrorKind::ConnectionRefused, "http://127.0.0.1:1/: as the system says;"),
        ] {
            let error = ConnectError(io::Error::new(kind, "as the system says").into());
            let error = CallError::Status(Status::from_error(error.into()));
            let text = error.naming_server(&to).to_string();
            assert!(
                text.starts_with(&format!("UNAVAILABLE: cannot connect to {reason}")),
                "{text}"
            );
        }
        let other = CallError::Status(Status::unavailable("the server is shutting down"));
        assert_eq!(
            other.naming_server(&to).to_string(),
            "UNAVAILABLE: the server is shutting down"
        );
    }

    #[test]
    fn one_call_too_many_says_of_which_limit_and_when_to_come_back() {
        const TOO_MANY: &str = "RESOURCE_EXHAUSTED: too many calls";
        const LIMIT: &str = "\n  principal: 5 calls per second, 10 at once";
        for (wait, words) in [
            (Duration::from_micros(199_001), "200 ms"),
            (Duration::from_secs(10), "10000 ms"),
            (Duration::from_millis(10_001), "11 s"),
        ] {
            let expected = format!("{TOO_MANY}{LIMIT}\n  try again in {words}");
            assert_eq!(told("too many calls", wait), expected);
            // Once is enough.
            let message = format!("too many calls, come in {words}");
            assert_eq!(told(&message, wait), format!("{TOO_MANY}, come in {words}{LIMIT}"));
        }
    }
}
