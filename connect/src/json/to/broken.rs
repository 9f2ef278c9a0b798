use std::borrow::Cow;

use tonic::Status;

use crate::json::wire::Malformed;

/// Why a message has no JSON.
#[derive(Debug)]
pub(in crate::json) struct Broken(pub(super) Cow<'static, str>);

impl Broken {
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }

    /// The status: it is not the caller's fault.
    pub(in crate::json) fn into_status(self, message: &str) -> Status {
        Status::internal(format!("{message} has no JSON form: {}", self.0))
    }
}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self::new("malformed protobuf")
    }
}
