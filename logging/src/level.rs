//! How loud a call is.

use tonic::Code;
use tonic_call::Side;
use tracing::Level;

/// The level of a call's line, by its code and side: go-grpc-middleware's default table.
///
/// A server's own faults are `ERROR`; what its callers may have to mend is `INFO` or `WARN`. A client
/// leaves most failures to its caller and says `DEBUG`.
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

/// The levels, from the loudest to the quietest.
pub(crate) const LEVELS: [Level; 5] =
    [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// The place of a level among [`LEVELS`].
pub(crate) fn place(level: Level) -> usize {
    LEVELS.iter().position(|&other| other == level).unwrap_or(LEVELS.len() - 1)
}
