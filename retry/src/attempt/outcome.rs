use std::error::Error;

use http::Response;
use http_body::Body;
use tonic::{Code, TimeoutExpired};
use tonic_call::{Delivery, as_error, code_of_error, code_of_head, delivery_of_error};

use crate::policy::Pushback;

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server has begun to answer, or has answered `OK`.
    Answered,
    /// The channel's own timer has fired.
    Expired,
    Failed(Failure),
}

/// The failure of an attempt of which the caller has got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// Whether the server can have processed it.
    pub(super) delivery: Delivery,
    pub(super) pushback: Option<Pushback>,
}

impl Outcome {
    pub(super) fn of<B: Body, E: 'static>(result: &Result<Response<B>, E>) -> Self {
        let response = match result {
            Ok(response) => response,
            Err(error) => return as_error(error).map_or(Self::UNKNOWN, Self::of_error),
        };
        match code_of_head(response) {
            None | Some(Code::Ok) => Self::Answered,
            Some(code) => Self::Failed(Failure {
                code,
                delivery: Delivery::Unknown,
                pushback: Pushback::of(response.headers()),
            }),
        }
    }

    const UNKNOWN: Self =
        Self::Failed(Failure { code: Code::Unknown, delivery: Delivery::Unknown, pushback: None });

    fn of_error(error: &(dyn Error + 'static)) -> Self {
        let mut sources = std::iter::successors(Some(error), |&error| error.source());
        if sources.any(<dyn Error>::is::<TimeoutExpired>) {
            return Self::Expired;
        }
        let (code, delivery) = (code_of_error(error), delivery_of_error(error));
        Self::Failed(Failure { code, delivery, pushback: None })
    }
}
