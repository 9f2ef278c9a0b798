//! The level of a call's line.

use tonic::Code;
use tonic_call::Side;
use tracing::Level;

/// The level of a call's line, by its code and side: go-grpc-middleware's default table.
///
/// On a server its own faults are `ERROR`, and what callers have to fix is `INFO` or `WARN`. On a client
/// most failures are `DEBUG`, because its caller handles them.
pub fn default_level(side: Side, code: Code) -> Level {
    match side {
        Side::Server => match code {
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Unauthenticated => Level::INFO,
            Code::DeadlineExceeded
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable => Level::WARN,
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Level::ERROR,
        },
        Side::Client => match code {
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange => Level::DEBUG,
            Code::Unknown
            | Code::DeadlineExceeded
            | Code::PermissionDenied
            | Code::Unauthenticated => Level::INFO,
            Code::Unimplemented | Code::Internal | Code::Unavailable | Code::DataLoss => {
                Level::WARN
            }
        },
    }
}

/// The levels, from the most to the least severe.
pub(crate) const LEVELS: [Level; 5] =
    [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// The index of a level in [`LEVELS`].
pub(crate) fn index_of(level: Level) -> usize {
    LEVELS.iter().position(|&other| other == level).unwrap_or(LEVELS.len() - 1)
}
