use std::error::Error;
use std::io;

use tonic_call::{Delivery, delivery_of_error};

/// What follows the failure of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The request was not sent, because this connection cannot be used.
    SendElsewhere,
    /// The server is leaving, and has not processed the request: it takes no more on this connection.
    SendToAnother,
    /// The server has not processed the request.
    SendOnceMore,
    /// The server may have processed it.
    Fail,
}

/// What follows this error of a request whose body was read, or not.
pub(super) fn next(error: &(dyn Error + 'static), is_read: bool) -> Next {
    match delivery_of_error(error) {
        Delivery::NoConnection | Delivery::NeverSent => Next::SendElsewhere,
        Delivery::NotProcessed if is_of_h2(error, h2::Error::is_go_away) => Next::SendToAnother,
        Delivery::NotProcessed => Next::SendOnceMore,
        // None of its messages was sent: it waited for a free stream, or for room to send.
        _ if !is_read && is_connection_lost(error) => Next::SendOnceMore,
        _ => Next::Fail,
    }
}

/// Whether the connection has ended, and not the stream alone.
fn is_connection_lost(error: &(dyn Error + 'static)) -> bool {
    let is_of_stream = is_of_h2(error, h2::Error::is_reset);
    !is_of_stream
        && sources(error).any(|error| error.is::<io::Error>() || error.is::<hyper::Error>())
}

/// Whether the error, or one of its sources, is one of HTTP/2 of this kind.
fn is_of_h2(error: &(dyn Error + 'static), kind: impl Fn(&h2::Error) -> bool) -> bool {
    sources(error).any(|error| error.downcast_ref().is_some_and(&kind))
}

fn sources<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use h2::Reason;
    use tonic::{ConnectError, TimeoutExpired};

    use super::*;

    #[test]
    fn a_lost_connection_is_no_reason_to_send_again_what_was_read() {
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(next(&lost, true), Next::Fail);
        assert_eq!(next(&lost, false), Next::SendOnceMore);
    }

    #[test]
    fn a_stream_that_was_reset_had_reached_the_server() {
        let reset = h2::Error::from(Reason::INTERNAL_ERROR);
        assert_eq!(next(&reset, false), Next::Fail);
        assert_eq!(next(&io::Error::other(reset), true), Next::Fail);
    }

    #[test]
    fn a_connection_that_was_not_made_has_sent_nothing() {
        assert_eq!(next(&ConnectError("refused".into()), true), Next::SendElsewhere);
    }

    #[test]
    fn an_expired_time_and_anything_else_is_not_sent_again() {
        assert_eq!(next(&TimeoutExpired(()), false), Next::Fail);
        assert_eq!(next(&tonic::Status::unavailable(""), false), Next::Fail);
    }
}
