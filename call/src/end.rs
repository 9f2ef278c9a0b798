//! The one ending of a call.

use std::borrow::Cow;
use std::fmt::{self, Display};

use http::{HeaderMap, StatusCode};
use tonic::Code;

use crate::code::code_of_http;
use crate::headers;

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
        /// The error, with what caused it. It is for the operator: its text may hold internals.
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

impl<'a> End<'a> {
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

    /// What the ending says in words: `grpc-message`, decoded, or the error's text. It is somebody
    /// else's: make it [`printable`](crate::printable) before it is shown.
    pub fn message(&self) -> Option<Cow<'a, str>> {
        match *self {
            Self::Status { headers, .. } => headers::message(headers),
            Self::Error { error, .. } => Some(error.to_string().into()),
            Self::Missing { .. } | Self::Dropped { .. } => None,
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_message_is_decoded_and_never_lost() {
        for (sent, message) in [
            (&b"not%20found: 100%25"[..], "not found: 100%"),
            (b"Gr%C3%BC%C3%9Fe", "Grüße"),
            (b"bad %zz, cut %4", "bad %zz, cut %4"),
            (b"%FF", "\u{fffd}"),
        ] {
            let message_header = HeaderValue::from_bytes(sent).expect("a header");
            let headers = HeaderMap::from_iter([(tonic::Status::GRPC_MESSAGE, message_header)]);
            let end = End::Status { code: Code::NotFound, headers: &headers };
            assert_eq!(end.message().as_deref(), Some(message));
        }
        let none = HeaderMap::new();
        assert_eq!(End::Status { code: Code::NotFound, headers: &none }.message(), None);
        let error = End::Error { code: Code::Unavailable, error: &"connection refused" };
        assert_eq!(error.message().as_deref(), Some("connection refused"));
    }
}
