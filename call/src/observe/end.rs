//! The one ending of a call.

use std::borrow::Cow;
use std::fmt::{self, Display};

use http::{HeaderMap, StatusCode};
use tonic::Code;

use crate::observe::error_code::code_of_http;
use crate::observe::{EndedBy, Side, headers};

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
        /// What that means in gRPC: on a client as gRPC's "HTTP to gRPC status code mapping" says. On
        /// a server an HTTP status of 4xx, or an answer below 500 to a request that is not gRPC's by
        /// its verb or content type, is `InvalidArgument`: strangers can cause it.
        code: Code,
        /// The HTTP status of the answer.
        http: StatusCode,
        /// Who caused it: on a client the transport, since services always send a status; on a
        /// server the caller where the code is `InvalidArgument`, otherwise the service.
        by: EndedBy,
    },
    /// The service or the response body failed; on a client also the request body.
    Error {
        /// What the error means in gRPC.
        code: Code,
        /// Who failed: on a client the transport, or the caller whose request stream failed.
        by: EndedBy,
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
    /// The server's own [time-out](crate::ObserveLayer::server_timeout) has passed, or is at most 5 ms
    /// away, and no head of a response had come.
    ServerTimeout,
    /// A poll unwound.
    Panicked,
}

impl<'a> End<'a> {
    /// The call's code: the one derivation there is.
    ///
    /// A status as it stands (an undefined one is `Unknown`); an answer without one as
    /// [`Missing`](Self::Missing) says; a dropped call is `Cancelled`, `DeadlineExceeded` or `Internal`
    /// by its [`Cause`].
    pub fn code(&self) -> Code {
        match *self {
            Self::Status { code, .. } | Self::Error { code, .. } | Self::Missing { code, .. } => {
                code
            }
            Self::Dropped { cause, .. } => match cause {
                Cause::CallerLeft => Code::Cancelled,
                Cause::DeadlineExpired | Cause::ServerTimeout => Code::DeadlineExceeded,
                Cause::Panicked => Code::Internal,
            },
        }
    }

    /// What the ending says in words: `grpc-message`, decoded, or the error's text. It is somebody
    /// else's: make it [`sanitize`](crate::sanitize) before it is shown.
    pub fn message(&self) -> Option<Cow<'a, str>> {
        match *self {
            Self::Status { headers, .. } => headers::message(headers),
            Self::Error { error, .. } => Some(error.to_string().into()),
            Self::Dropped { cause: Cause::ServerTimeout, .. } => {
                Some("the server's own time-out expired before the head of a response".into())
            }
            Self::Missing { .. } | Self::Dropped { .. } => None,
        }
    }

    /// An answer that is over without a status.
    pub(crate) fn missing(http: StatusCode, side: Side, asked_as_grpc: bool) -> Self {
        let (code, by) = match side {
            Side::Client => (code_of_http(http), EndedBy::Transport),
            Side::Server if http.is_client_error() => (Code::InvalidArgument, EndedBy::Caller),
            Side::Server if !asked_as_grpc && !http.is_server_error() => {
                (Code::InvalidArgument, EndedBy::Caller)
            }
            Side::Server => (code_of_http(http), EndedBy::Service),
        };
        Self::Missing { code, http, by }
    }
}

impl fmt::Debug for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, .. } => f.debug_struct("Status").field("code", code).finish(),
            Self::Missing { code, http, by } => f
                .debug_struct("Missing")
                .field("code", code)
                .field("http", http)
                .field("by", by)
                .finish(),
            Self::Error { code, by, error } => f
                .debug_struct("Error")
                .field("code", code)
                .field("by", by)
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

impl From<&End<'_>> for EndedBy {
    fn from(end: &End<'_>) -> Self {
        match *end {
            End::Dropped { cause: Cause::CallerLeft, .. } => Self::Caller,
            End::Dropped { cause: Cause::DeadlineExpired | Cause::ServerTimeout, .. } => {
                Self::Deadline
            }
            End::Dropped { cause: Cause::Panicked, .. } => Self::Panic,
            End::Error { by, .. } | End::Missing { by, .. } => by,
            End::Status { .. } => Self::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_without_a_status_is_the_servers_failure_only_if_strangers_can_not_cause_it() {
        let [ok, moved, bad] = [StatusCode::OK, StatusCode::FOUND, StatusCode::BAD_REQUEST];
        let [missing, away] = [StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY];
        let (caller, service) = (EndedBy::Caller, EndedBy::Service);
        for (http, grpc, code, by) in [
            (ok, true, Code::Unknown, service),
            (ok, false, Code::InvalidArgument, caller),
            (moved, true, Code::Unknown, service),
            (moved, false, Code::InvalidArgument, caller),
            (bad, true, Code::InvalidArgument, caller),
            (missing, false, Code::InvalidArgument, caller),
            (away, true, Code::Unavailable, service),
            (away, false, Code::Unavailable, service),
        ] {
            let end = End::missing(http, Side::Server, grpc);
            assert_eq!((end.code(), EndedBy::from(&end)), (code, by), "{http} {grpc}");
        }
        for (http, code) in
            [(ok, Code::Unknown), (bad, Code::Internal), (missing, Code::Unimplemented)]
        {
            let end = End::missing(http, Side::Client, true);
            assert_eq!((end.code(), EndedBy::from(&end)), (code, EndedBy::Transport), "{http}");
        }
    }

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
        let by = EndedBy::Transport;
        let error = End::Error { code: Code::Unavailable, by, error: &"connection refused" };
        assert_eq!(error.message().as_deref(), Some("connection refused"));
    }
}
