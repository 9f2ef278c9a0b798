use std::borrow::Cow;

use tonic::Status;

use crate::json::wire::Malformed;

/// Why a message has no JSON. It is in a box because nearly every function returns one, or none.
#[derive(Debug)]
pub(in crate::json) struct Broken(Box<Cow<'static, str>>);

impl Broken {
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(reason.into()))
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
