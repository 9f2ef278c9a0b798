//! How a call ends.

use std::borrow::Cow;
use std::fmt::{self, Display};

use http::{HeaderMap, StatusCode};
use tonic::Code;

use crate::observe::error_code::code_of_http;
use crate::observe::{EndedBy, Side, headers};

/// How a call ended. All layers use this value, so that they agree on the outcome.
#[doc = ""]
#[doc = include_str!("../../docs/endings.md")]
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum End<'a> {
    /// The call ended with a status: in trailers, or in the head of a trailers-only response.
    Status {
        /// The value of `grpc-status`; `Unknown` if gRPC does not define the value.
        code: Code,
        /// The headers that contain the status, `grpc-message` and metadata. This is text from the wire.
        headers: &'a HeaderMap,
    },
    /// The response ended without a `grpc-status`.
    Missing {
        /// The matching gRPC code. On a client: gRPC's "HTTP to gRPC status code mapping". On a server:
        /// `InvalidArgument` for an HTTP status of 4xx, and for an answer below 500 to a request whose verb or
        /// content type is not gRPC's, because any client can cause these; otherwise the same mapping.
        code: Code,
        /// The HTTP status of the response.
        http: StatusCode,
        /// Who caused it. On a client the transport, since services always send a status. On a server the
        /// caller if the code is `InvalidArgument`, otherwise the service.
        by: EndedBy,
    },
    /// The service or the response body returned an error; on a client, possibly the request body.
    Error {
        /// The matching gRPC code: see [`code_of_error`](crate::code_of_error).
        code: Code,
        /// Who caused it. On a client the transport, or the caller whose request stream failed.
        by: EndedBy,
        /// The error with its sources. It is meant for the operator: the text may contain internal details.
        error: &'a dyn Display,
    },
    /// The call was dropped before its end, or its request broke off.
    Dropped {
        /// Whether the response head had arrived.
        responded: bool,
        /// Why it was dropped.
        cause: Cause,
    },
}

/// Why a call was dropped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The caller went away.
    CallerLeft,
    /// The call's own `grpc-timeout` has passed, or expires within 5 ms: a caller may stop slightly before the
    /// local clock reaches the deadline.
    DeadlineExpired,
    /// The server's own [timeout](crate::ObserveLayer::server_timeout) has passed, or expires within 5 ms, and
    /// no response head had arrived.
    ServerTimeout,
    /// A panic unwound through the call.
    Panicked,
}

impl<'a> End<'a> {
    /// The gRPC code of the call.
    ///
    /// For a status, its code (`Unknown` if gRPC does not define it). For a response without one, see
    /// [`Missing`](Self::Missing). For a dropped call, `Cancelled`, `DeadlineExceeded` or `Internal`, depending
    /// on its [`Cause`].
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

    /// The message: the decoded `grpc-message`, or the error's text. It is not trusted text:
    /// [`sanitize`](crate::sanitize) it before it is shown.
    pub fn message(&self) -> Option<Cow<'a, str>> {
        match *self {
            Self::Status { headers, .. } => headers::message(headers),
            Self::Error { error, .. } => Some(error.to_string().into()),
            Self::Dropped { cause: Cause::ServerTimeout, .. } => {
                Some("the server's own timeout expired before the response head".into())
            }
            Self::Missing { .. } | Self::Dropped { .. } => None,
        }
    }

    /// The end of a response without a status.
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
    fn an_answer_without_a_status_is_the_servers_failure_only_if_no_client_can_cause_it() {
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
