//! How a test case ends.

use std::fmt::Debug;

use tonic::{Code, Status};

use crate::proto::Payload;

/// The result of a test case.
pub(super) type Outcome = Result<(), Stop>;

/// Why a case did not pass.
#[derive(Debug)]
pub(super) enum Stop {
    /// The server, the client or a layer behaves differently from what the case describes.
    Failed(String),
    /// tonic cannot do what the case needs.
    Cannot(&'static str),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Failed(format!("{:?} {:?}", status.code(), status.message()))
    }
}

/// An error unless the two are equal.
#[expect(clippy::needless_pass_by_value, reason = "the calls compare with literals")]
pub(super) fn expect<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Outcome {
    if seen == expected {
        return Ok(());
    }
    Err(Stop::Failed(format!("{what}: {seen:?}, and not {expected:?}")))
}

/// An error unless the payload is that many zeros.
pub(super) fn expect_zeros(what: &str, payload: Option<Payload>, size: usize) -> Outcome {
    let body = payload.unwrap_or_default().body;
    expect(what, body.len(), size)?;
    expect(what, body.iter().any(|byte| *byte != 0), false)
}

/// The status of a call that must fail with this code.
pub(super) fn failed<T>(call: Result<T, Status>, code: Code) -> Result<Status, Stop> {
    match call {
        Ok(_) => Err(Stop::Failed(format!("the call was OK, and not {code:?}"))),
        Err(status) if status.code() == code => Ok(status),
        Err(status) => Err(Stop::from(status)),
    }
}
