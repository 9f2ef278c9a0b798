//! A request that breaks a rule of the protocol in its head.

use http::{HeaderName, HeaderValue, StatusCode};
use tonic::Status;

/// Why a request is refused, and what HTTP says about it.
///
/// The layers inside see the refusal as the failure of the request's body, so that they can count, log, limit and
/// refuse such a call like any other. The caller gets it in the form below.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// For the operator, as a label.
    pub(crate) reason: &'static str,
    pub(crate) status: Status,
    /// The HTTP status, if it is not the one of the code. The answer is then that of HTTP even to a stream.
    pub(crate) http: Option<StatusCode>,
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(reason: &'static str, status: Status) -> Self {
        Self { reason, status, http: None, header: None }
    }

    pub(crate) fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(reason, Status::invalid_argument(message))
    }

    /// Sets the HTTP status.
    pub(crate) fn with_http(self, http: StatusCode) -> Self {
        Self { http: Some(http), ..self }
    }

    pub(crate) fn with_header(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, HeaderValue::from_static(value))), ..self }
    }
}
