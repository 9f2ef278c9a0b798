//! What an error, or an HTTP status, means in gRPC.

use std::any::Any;
use std::error::Error;
use std::io;

use h2::Reason;
use http::StatusCode;
use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::service::BoxError;

/// The code of a service's or body's error, whatever its type.
///
/// A boxed error is no `Error` itself, so the types that occur are told apart by name.
pub(crate) fn code_of<E: 'static>(error: &E) -> Code {
    let error: &dyn Any = error;
    if let Some(error) = error.downcast_ref::<Status>() {
        return code_of_error(error);
    }
    #[cfg(feature = "channel")]
    if let Some(error) = error.downcast_ref::<tonic::transport::Error>() {
        return code_of_error(error);
    }
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return code_of_error(&**error);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return code_of_error(error);
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return code_of_error(error);
    }
    Code::Unknown
}

/// The code that an error means, found by walking its sources.
///
/// A connection that was refused or lost, and a stream that the peer refused (`REFUSED_STREAM`),
/// are `Unavailable`; other resets as in gRPC over HTTP/2, "Errors"; a `Status` is what it says,
/// unless it only wraps one of these; an expired timeout is `DeadlineExceeded`. Anything else is
/// `Unknown`.
pub fn code_of_error(error: &(dyn Error + 'static)) -> Code {
    let mut code = Code::Unknown;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = code_of_transport(error) {
            return found;
        }
        if let Some(status) = error.downcast_ref::<Status>()
            && code == Code::Unknown
        {
            code = status.code();
        }
        #[cfg(feature = "channel")]
        if error.is::<tonic::transport::Error>() {
            code = Code::Unavailable;
        }
        next = error.source();
    }
    code
}

fn code_of_transport(error: &(dyn Error + 'static)) -> Option<Code> {
    if error.is::<TimeoutExpired>() {
        return Some(Code::DeadlineExceeded);
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return Some(code_of_h2(error));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        // Of these, only a closed connection can be the fault of either side.
        let lost = error.is_timeout()
            || error.is_canceled()
            || error.is_closed()
            || error.is_incomplete_message();
        return lost.then_some(Code::Unavailable);
    }
    (error.is::<ConnectError>() || error.is::<io::Error>()).then_some(Code::Unavailable)
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

/// The code of an answer that has no `grpc-status` (gRPC, "HTTP to gRPC status code mapping").
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

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(error: impl Into<BoxError>) -> BoxError {
        error.into()
    }

    #[test]
    fn a_status_is_what_it_says() {
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
    fn resets_are_mapped_as_grpc_says() {
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
    fn http_statuses_are_mapped_as_grpc_says() {
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
