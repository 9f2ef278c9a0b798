//! The one ending of a call.

use std::fmt::{self, Display};

use http::{HeaderMap, StatusCode};
use tonic::Code;

use crate::code::code_of_http;

/// How a call ended. Every layer reads this; none derives its own.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum End<'a> {
    /// With a status: in trailers, or in a head that is the whole answer.
    Status {
        /// `grpc-status`; a value that gRPC does not define is `Unknown`.
        code: Code,
        /// Where it stood, beside `grpc-message` and the metadata: text from the wire.
        headers: &'a HeaderMap,
    },
    /// Over, and without a `grpc-status`.
    Missing {
        /// The HTTP status of the answer.
        http: StatusCode,
    },
    /// The service or the response body failed.
    Error {
        /// What the error means in gRPC.
        code: Code,
        /// The error. It is for the operator: its text may hold internals.
        error: &'a dyn Display,
    },
    /// Given up before its end: dropped, or its request broke off.
    Dropped {
        /// Whether the head of the response had come.
        responded: bool,
        /// Who gave it up.
        cause: Cause,
    },
}

/// Why a call was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The caller went away.
    CallerLeft,
    /// The call's own `grpc-timeout` has passed, or is at most 5 ms away: calls that expire at the
    /// caller are dropped here a little before our clock says so.
    DeadlineExpired,
    /// A poll unwound.
    Panicked,
}

impl End<'_> {
    /// The call's code: the one derivation there is.
    ///
    /// A status as it stands (an undefined one is `Unknown`); an answer without one by its HTTP
    /// status, as gRPC's "HTTP to gRPC status code mapping" says; a dropped call is `Cancelled`,
    /// `DeadlineExceeded` or `Internal` by its [`Cause`].
    pub fn code(&self) -> Code {
        match *self {
            Self::Status { code, .. } | Self::Error { code, .. } => code,
            Self::Missing { http } => code_of_http(http),
            Self::Dropped { cause, .. } => match cause {
                Cause::CallerLeft => Code::Cancelled,
                Cause::DeadlineExpired => Code::DeadlineExceeded,
                Cause::Panicked => Code::Internal,
            },
        }
    }
}

impl fmt::Debug for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, .. } => f.debug_struct("Status").field("code", code).finish(),
            Self::Missing { http } => f.debug_struct("Missing").field("http", http).finish(),
            Self::Error { code, error } => f
                .debug_struct("Error")
                .field("code", code)
                .field("error", &format_args!("{error}"))
                .finish(),
            Self::Dropped { responded, cause } => f
                .debug_struct("Dropped")
                .field("responded", responded)
                .field("cause", cause)
                .finish(),
        }
    }
}
