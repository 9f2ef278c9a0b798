//! Maps errors and HTTP statuses to gRPC codes.

use std::any::Any;
use std::error::Error;
use std::io;

use h2::Reason;
use http::{Response, StatusCode};
use http_body::Body;
use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::fit::BoxError;
use crate::observe::{Delivery, EndedBy, Side, delivery_of_error, headers};

/// The code of an error from a service or body, and who caused it.
pub(crate) fn failure<E: 'static>(error: &E, side: Side) -> (Code, EndedBy) {
    let Some(error) = as_error(error) else { return (Code::Unknown, EndedBy::Service) };
    let code = code_of_error(error);
    let by = match side {
        _ if code == Code::DeadlineExceeded => EndedBy::Deadline,
        Side::Client if is_from_transport(error) => EndedBy::Transport,
        Side::Client | Side::Server => EndedBy::Service,
    };
    (code, by)
}

/// Whether an error comes from the connection or the remote peer, and not from a layer or interceptor of the
/// client.
fn is_from_transport(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| {
        error.is::<hyper::Error>()
            || error.is::<h2::Error>()
            || error.is::<ConnectError>()
            || is_transport(error)
            || error.downcast_ref::<io::Error>().is_some_and(is_connection_error)
    })
}

/// Converts an error of a service or body to `dyn Error`, for [`code_of_error`]; `None` if its type is none that
/// occurs in tonic.
///
/// A boxed error does not implement `Error`, so the concrete types that occur are tried one by one.
pub fn as_error<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    fn is<T: Error + 'static>(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
        error.downcast_ref::<T>().map(|error| error as _)
    }

    let error: &dyn Any = error;
    let known = is::<Status>(error)
        .or_else(|| is::<hyper::Error>(error))
        .or_else(|| is::<h2::Error>(error))
        .or_else(|| is::<io::Error>(error))
        .or_else(|| is::<TimeoutExpired>(error))
        .or_else(|| is::<ConnectError>(error))
        .or_else(|| error.downcast_ref::<BoxError>().map(|error| &**error as _));
    #[cfg(feature = "channel")]
    let known = known.or_else(|| is::<tonic::transport::Error>(error));
    known
}

/// The status of a call whose connection was lost before it was answered: `UNAVAILABLE`, as in gRPC's other clients;
/// tonic makes it `UNKNOWN`. `None` for any other error, and for one that is `UNAVAILABLE` in tonic too: a connection
/// that could not be made, or a status.
pub fn lost_connection(error: &(dyn Error + 'static)) -> Option<Status> {
    let is_known =
        error.downcast_ref().is_some_and(|status: &Status| status.code() != Code::Unknown);
    let is_lost = !is_known
        && code_of_error(error) == Code::Unavailable
        && is_from_transport(error)
        && delivery_of_error(error) != Delivery::NoConnection;
    let cause = std::iter::successors(Some(error), |&error| error.source()).last();
    let cause = cause.map(|cause| format!("the connection was lost: {cause}"));
    is_lost.then(|| Status::unavailable(cause.unwrap_or_default()))
}

/// The gRPC code for an error, found by walking its sources.
///
/// A refused or lost connection, and a stream reset with `REFUSED_STREAM`, are `Unavailable`. Other resets map
/// as in gRPC over HTTP/2, "Errors". An expired timer of tonic is `DeadlineExceeded`. A `Status` has its own
/// code; but if that is `Unknown` or `Cancelled`, which tonic uses for any of these errors, its sources are
/// checked too. Anything else is `Unknown`.
pub fn code_of_error(error: &(dyn Error + 'static)) -> Code {
    let mut last_code = Code::Unknown;
    let mut in_transport = false;
    let mut in_http = false;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(status) = error.downcast_ref::<Status>() {
            match status.code() {
                Code::Unknown => {}
                Code::Cancelled => last_code = Code::Cancelled,
                code => return code,
            }
        } else if error.is::<TimeoutExpired>() {
            return Code::DeadlineExceeded;
        } else if let Some(error) = error.downcast_ref::<h2::Error>() {
            return code_of_h2(error);
        } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if is_lost(error) {
                return Code::Unavailable;
            }
            in_http = true;
        } else if let Some(error) = error.downcast_ref::<io::Error>() {
            if in_http || in_transport || is_connection_error(error) {
                return Code::Unavailable;
            }
        } else if error.is::<ConnectError>() {
            return Code::Unavailable;
        } else {
            in_transport |= is_transport(error);
        }
        next = error.source();
    }
    if in_transport && last_code == Code::Unknown { Code::Unavailable } else { last_code }
}

#[cfg(feature = "channel")]
fn is_transport(error: &(dyn Error + 'static)) -> bool {
    error.is::<tonic::transport::Error>()
}

#[cfg(not(feature = "channel"))]
fn is_transport(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Whether the connection was closed during the call.
fn is_lost(error: &hyper::Error) -> bool {
    error.is_timeout() || error.is_canceled() || error.is_closed() || error.is_incomplete_message()
}

/// Other I/O errors come from the handler itself, such as a file error.
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

fn code_of_h2(error: &h2::Error) -> Code {
    if error.is_io() || (error.is_go_away() && error.is_remote()) {
        return Code::Unavailable;
    }
    match error.reason() {
        Some(
            Reason::NO_ERROR
            | Reason::PROTOCOL_ERROR
            | Reason::INTERNAL_ERROR
            | Reason::FLOW_CONTROL_ERROR
            | Reason::SETTINGS_TIMEOUT
            | Reason::FRAME_SIZE_ERROR
            | Reason::COMPRESSION_ERROR
            | Reason::CONNECT_ERROR,
        ) => Code::Internal,
        Some(Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(Reason::CANCEL) => Code::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        _ => Code::Unknown,
    }
}

/// The code of a response to a client that is over with its head: a status in the head (gRPC over HTTP/2,
/// "Trailers-Only"), or an HTTP error of something that does not speak gRPC. `None` if a body follows.
pub fn code_of_head<B: Body>(response: &Response<B>) -> Option<Code> {
    let at_end = response.body().is_end_stream();
    match headers::code(response.headers()) {
        Some(Code::Ok) => at_end.then_some(Code::Ok),
        Some(code) => Some(code),
        None if at_end || response.status() != StatusCode::OK => {
            Some(code_of_http(response.status()))
        }
        None => None,
    }
}

/// The code of a response that has no `grpc-status` (gRPC, "HTTP to gRPC status code mapping").
pub(crate) fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 431 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The HTTP status of a refusal with this code, for clients that do not use gRPC.
pub(crate) fn http_of_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // The reverse of "HTTP to gRPC status code mapping".
        Code::Unimplemented => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn code_of<E: 'static>(error: &E) -> Code {
        failure(error, Side::Server).0
    }

    fn boxed(error: impl Into<BoxError>) -> BoxError {
        error.into()
    }

    #[test]
    fn a_status_has_its_own_code() {
        assert_eq!(code_of(&Status::data_loss("")), Code::DataLoss);
        assert_eq!(code_of(&boxed(Status::not_found(""))), Code::NotFound);
    }

    #[test]
    fn a_status_that_wraps_a_lost_connection_is_unavailable() {
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        let status = Status::from_error(Box::new(lost));
        assert_eq!(status.code(), Code::Unknown, "what tonic says");
        assert_eq!(code_of(&status), Code::Unavailable);
    }

    #[test]
    fn a_status_with_a_definite_code_is_not_overruled_by_its_source() {
        let mut status = Status::not_found("");
        status.set_source(Arc::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert_eq!(code_of(&status), Code::NotFound);
    }

    #[test]
    fn a_connection_that_is_lost_during_a_call_is_unavailable() {
        let io = |kind| io::Error::from(kind);
        let lost = lost_connection(&io(io::ErrorKind::ConnectionReset)).expect("it is lost");
        assert_eq!(
            (lost.code(), lost.message()),
            (Code::Unavailable, "the connection was lost: connection reset")
        );
        let refused = ConnectError(Box::new(io(io::ErrorKind::ConnectionRefused)));
        let no_answer: [&(dyn Error + 'static); 4] = [
            &refused,
            &io(io::ErrorKind::NotFound),
            &TimeoutExpired(()),
            &Status::unavailable("of a layer"),
        ];
        for error in no_answer {
            assert!(lost_connection(error).is_none(), "{error:?}");
        }
    }

    #[test]
    fn an_error_of_a_file_is_not_that_of_a_connection() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(code_of(&Status::from_error(Box::new(missing))), Code::Unknown);
    }

    #[test]
    fn resets_are_mapped_by_grpcs_table() {
        for (reason, code) in [
            (Reason::NO_ERROR, Code::Internal),
            (Reason::PROTOCOL_ERROR, Code::Internal),
            (Reason::INTERNAL_ERROR, Code::Internal),
            (Reason::FLOW_CONTROL_ERROR, Code::Internal),
            (Reason::SETTINGS_TIMEOUT, Code::Internal),
            (Reason::STREAM_CLOSED, Code::Unknown),
            (Reason::FRAME_SIZE_ERROR, Code::Internal),
            (Reason::REFUSED_STREAM, Code::Unavailable),
            (Reason::CANCEL, Code::Cancelled),
            (Reason::COMPRESSION_ERROR, Code::Internal),
            (Reason::CONNECT_ERROR, Code::Internal),
            (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
            (Reason::HTTP_1_1_REQUIRED, Code::Unknown),
        ] {
            assert_eq!(code_of(&h2::Error::from(reason)), code, "{reason:?}");
            assert_eq!(code_of(&boxed(h2::Error::from(reason))), code, "{reason:?}, boxed");
        }
    }

    #[test]
    fn an_expired_timeout_is_a_deadline() {
        assert_eq!(code_of(&boxed(TimeoutExpired(()))), Code::DeadlineExceeded);
    }

    #[test]
    fn a_refused_connection_is_unavailable() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(code_of(&boxed(ConnectError(Box::new(refused)))), Code::Unavailable);
    }

    #[test]
    fn anything_else_is_unknown() {
        assert_eq!(code_of(&boxed("a text")), Code::Unknown);
        assert_eq!(code_of(&7), Code::Unknown);
    }

    #[test]
    fn a_head_without_a_status_is_the_end_only_if_nothing_follows_or_it_is_an_http_error() {
        use http_body::Frame;
        use std::pin::Pin;
        use std::task::{Context, Poll};

        struct Empty(bool);
        impl Body for Empty {
            type Data = bytes::Bytes;
            type Error = Status;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
                Poll::Ready(None)
            }

            fn is_end_stream(&self) -> bool {
                self.0
            }
        }

        for (http, grpc, at_end, code) in [
            (200, Some("14"), true, Some(Code::Unavailable)),
            (200, Some("14"), false, Some(Code::Unavailable)),
            (200, Some("99"), true, Some(Code::Unknown)),
            (200, Some("0"), true, Some(Code::Ok)),
            (200, Some("0"), false, None),
            (200, None, false, None),
            (200, None, true, Some(Code::Unknown)),
            (503, None, true, Some(Code::Unavailable)),
            (503, None, false, Some(Code::Unavailable)),
        ] {
            let mut response = Response::builder().status(http);
            if let Some(grpc) = grpc {
                response = response.header("grpc-status", grpc);
            }
            let response = response.body(Empty(at_end)).expect("a response");
            assert_eq!(code_of_head(&response), code, "{http} {grpc:?} {at_end}");
        }
    }

    #[test]
    fn http_statuses_are_mapped_by_grpcs_table() {
        for (http, code) in [
            (200, Code::Unknown),
            (204, Code::Unknown),
            (302, Code::Unknown),
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (415, Code::Unknown),
            (429, Code::Unavailable),
            (431, Code::Internal),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
        ] {
            assert_eq!(code_of_http(StatusCode::from_u16(http).expect("a status")), code, "{http}");
        }
    }
}
