//! Errors of `orders call`, as they are printed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, ConnectError, Status};
use tonic_call::{code_name, code_of_error};
use tonic_types::StatusExt;

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
    pub(crate) fn code(&self) -> Option<Code> {
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

    /// If no server could be reached, says why each one could not, and what to do about it.
    pub(super) fn naming_servers(self, failures: &[String]) -> Self {
        let cause = match &self {
            Self::Status(status) => failed_connect(status),
            _ => None,
        };
        let Some(cause) = cause else { return self };
        let causes = match failures {
            // No address is known.
            [] => format!(": {cause}"),
            few if few.len() <= MAX_FAILURES => format!(" to {}", few.join(", ")),
            many => {
                let (first, rest) = many.split_at(MAX_FAILURES);
                format!(" to {}, and {} more", first.join(", "), rest.len())
            }
        };
        let remedy = remedy(&causes);
        Self::Status(Status::unavailable(format!("cannot connect{causes}{remedy}")))
    }
}

/// What to do if there is no connection for these reasons.
fn remedy(reasons: &str) -> &'static str {
    if reasons.contains("the server answers with TLS") {
        "; use an https URL and --tls-ca FILE"
    } else if reasons.contains("certificate") || reasons.contains("TLS") {
        // The reason is what to change.
        ""
    } else {
        "; start a server with `orders serve`, or choose another one with --to URL"
    }
}

/// The error names at most so many addresses.
const MAX_FAILURES: usize = 3;

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

/// Why there is no connection, if that is why the call failed.
fn failed_connect(status: &Status) -> Option<String> {
    let mut error = status.source()?;
    while !error.is::<ConnectError>() {
        error = error.source()?;
    }
    Some(error.to_string())
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
    fn servers_that_cannot_be_reached_are_named_with_the_reason() {
        let failures: Vec<_> = (1..=5).map(|port| format!("127.0.0.1:{port}: refused")).collect();
        for (failures, expected) in [
            (&failures[..0], "connect: x has no addresses;"),
            (&failures[..1], "connect to 127.0.0.1:1: refused;"),
            (&failures[..2], "connect to 127.0.0.1:1: refused, 127.0.0.1:2: refused;"),
            (&failures[..], "127.0.0.1:3: refused, and 2 more;"),
        ] {
            let error = ConnectError("x has no addresses".into());
            let error = CallError::Status(Status::from_error(error.into()));
            let text = error.naming_servers(failures).to_string();
            assert!(text.starts_with("UNAVAILABLE: cannot connect"), "{text}");
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let other = CallError::Status(Status::unavailable("the server is shutting down"));
        assert_eq!(
            other.naming_servers(&failures).to_string(),
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
