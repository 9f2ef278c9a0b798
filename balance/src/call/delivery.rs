//! Whether a failed request was sent and processed.

use std::error::Error;
use std::io;

use h2::Reason;
use tonic::{ConnectError, TimeoutExpired};

/// How far a request of a failed call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It never left this process.
    NeverSent,
    /// The server reports that it has not processed it (RFC 9113, sections 6.8 and 8.7).
    Refused,
    /// It may have been processed.
    Unknown,
}

/// How far the request has come, if the error proves it. `started` is false if the body was never polled: then not even
/// the headers were sent.
pub(super) fn delivery(error: &(dyn Error + 'static), started: bool) -> Delivery {
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        if error.is::<TimeoutExpired>() {
            return Delivery::Unknown;
        }
        if error.is::<ConnectError>() {
            return Delivery::NeverSent;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_goaway = error.is_remote() && error.is_go_away();
            let is_refused = error.is_remote()
                && error.is_reset()
                && error.reason() == Some(Reason::REFUSED_STREAM);
            return match started {
                false => Delivery::NeverSent,
                true if is_goaway || is_refused => Delivery::Refused,
                true => Delivery::Unknown,
            };
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_canceled() || !started)
        {
            return Delivery::NeverSent;
        }
        if error.is::<io::Error>() && !started {
            return Delivery::NeverSent;
        }
    }
    Delivery::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_this_side_prove_nothing_once_the_request_was_begun() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(delivery(&reset, true), Delivery::Unknown);
        assert_eq!(delivery(&reset, false), Delivery::NeverSent);
        let local = h2::Error::from(Reason::REFUSED_STREAM);
        assert_eq!(delivery(&local, true), Delivery::Unknown);
        assert_eq!(delivery(&io::Error::other(local), false), Delivery::NeverSent);
    }

    #[test]
    fn a_connection_that_was_not_made_has_sent_nothing() {
        assert_eq!(delivery(&ConnectError("refused".into()), true), Delivery::NeverSent);
    }

    #[test]
    fn an_expired_time_and_anything_else_is_not_sent_again() {
        assert_eq!(delivery(&TimeoutExpired(()), false), Delivery::Unknown);
        assert_eq!(delivery(&tonic::Status::unavailable(""), false), Delivery::Unknown);
    }
}
