//! Whether a failed call can have reached the server.

use std::error::Error;

use h2::Reason;
use tonic::ConnectError;

/// What the error of a call proves of it: whether the server can have processed the call.
///
/// A call that certainly was not processed can be sent again, whatever it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// There was no connection, and none could be made. Nothing was sent.
    NoConnection,
    /// The connection closed before the call was sent.
    NeverSent,
    /// The call was sent, and the server says that it was not processed.
    NotProcessed,
    /// The server may have processed the call, or may still do so.
    Unknown,
}

/// What an error proves of its call, found by walking its sources.
///
/// | source | delivery |
/// |---|---|
/// | tonic's `ConnectError` | [`NoConnection`](Delivery::NoConnection) |
/// | hyper's error that a request was canceled, before it was on the connection | [`NeverSent`](Delivery::NeverSent) |
/// | a remote `RST_STREAM` with `REFUSED_STREAM`; a remote `GOAWAY`, which reaches only the streams above its last one | [`NotProcessed`](Delivery::NotProcessed) |
/// | any other reset, an I/O error, a connection task that is gone, and anything else | [`Unknown`](Delivery::Unknown) |
///
/// The code of an error proves nothing: a call that meets a closing connection can be `CANCELLED`.
pub fn delivery_of_error(error: &(dyn Error + 'static)) -> Delivery {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    for error in sources {
        if error.is::<ConnectError>() {
            return Delivery::NoConnection;
        } else if error.downcast_ref().is_some_and(hyper::Error::is_canceled) {
            return Delivery::NeverSent;
        } else if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
            let proves = error.is_remote() && (refused || error.is_go_away());
            return if proves { Delivery::NotProcessed } else { Delivery::Unknown };
        }
    }
    Delivery::Unknown
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tonic::{Status, TimeoutExpired};

    use super::*;
    use crate::fit::BoxError;

    fn of(error: impl Into<BoxError>) -> Delivery {
        delivery_of_error(&*error.into())
    }

    fn refused() -> ConnectError {
        ConnectError(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)))
    }

    #[test]
    fn a_failed_connect_sent_nothing_even_inside_a_status() {
        assert_eq!(of(refused()), Delivery::NoConnection);
        let mut status = Status::internal("wrapped");
        status.set_source(Arc::new(refused()));
        assert_eq!(of(status), Delivery::NoConnection);
    }

    #[test]
    fn what_the_local_side_has_reset_may_have_been_processed() {
        for reason in [Reason::REFUSED_STREAM, Reason::CANCEL, Reason::NO_ERROR] {
            assert_eq!(of(h2::Error::from(reason)), Delivery::Unknown, "{reason:?}");
        }
    }

    #[test]
    fn an_error_that_proves_nothing_is_unknown() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused] {
            assert_eq!(of(io::Error::from(kind)), Delivery::Unknown, "{kind}");
        }
        assert_eq!(of(TimeoutExpired(())), Delivery::Unknown);
        assert_eq!(of(Status::unavailable("from a server")), Delivery::Unknown);
        assert_eq!(of("operation was canceled"), Delivery::Unknown);
    }
}
