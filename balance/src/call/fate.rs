//! What the error of a call says of the request.

use std::error::Error;
use std::io;

use h2::Reason;
use tonic::{ConnectError, TimeoutExpired};

/// What has become of a request whose call has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never left this process.
    NeverSent,
    /// The server says that it has not processed it (RFC 9113, sections 6.8 and 8.7).
    Refused,
    /// It may have been processed.
    Unknown,
}

/// Only what proves something counts. `begun` is false if nobody has polled the request's body, so that not even its
/// headers were sent.
pub(super) fn fate(error: &(dyn Error + 'static), begun: bool) -> Fate {
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        if error.is::<TimeoutExpired>() {
            return Fate::Unknown;
        }
        if error.is::<ConnectError>() {
            return Fate::NeverSent;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_goaway = error.is_remote() && error.is_go_away();
            let is_refused = error.is_remote()
                && error.is_reset()
                && error.reason() == Some(Reason::REFUSED_STREAM);
            return match begun {
                false => Fate::NeverSent,
                true if is_goaway || is_refused => Fate::Refused,
                true => Fate::Unknown,
            };
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_canceled() || !begun)
        {
            return Fate::NeverSent;
        }
        if error.is::<io::Error>() && !begun {
            return Fate::NeverSent;
        }
    }
    Fate::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_this_side_prove_nothing_once_the_request_was_begun() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(fate(&reset, true), Fate::Unknown);
        assert_eq!(fate(&reset, false), Fate::NeverSent);
        let local = h2::Error::from(Reason::REFUSED_STREAM);
        assert_eq!(fate(&local, true), Fate::Unknown);
        assert_eq!(fate(&io::Error::other(local), false), Fate::NeverSent);
    }

    #[test]
    fn a_connection_that_was_not_made_has_sent_nothing() {
        assert_eq!(fate(&ConnectError("refused".into()), true), Fate::NeverSent);
    }

    #[test]
    fn an_expired_time_and_anything_else_is_not_sent_again() {
        assert_eq!(fate(&TimeoutExpired(()), false), Fate::Unknown);
        assert_eq!(fate(&tonic::Status::unavailable(""), false), Fate::Unknown);
    }
}
