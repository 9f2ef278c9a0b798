//! Fields that handlers add to the log line of their call.

use tonic::Request;
use tonic_call::CallInfo;

/// The id of the order that the call concerns.
pub(crate) const ORDER_ID: &str = "order.id";

/// The fields that handlers add to log lines.
pub(crate) const KEYS: [&str; 1] = [ORDER_ID];

/// Request metadata that is logged: the number of earlier attempts.
pub(crate) const METADATA: [&str; 1] = ["grpc-previous-rpc-attempts"];

/// The log fields of a call. It outlives the request.
#[derive(Clone, Default)]
pub(crate) struct CallFields(Option<CallInfo>);

impl CallFields {
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        Self(CallInfo::of(request.extensions()).cloned())
    }

    pub(crate) fn order(&self, id: &str) {
        if let Some(call) = &self.0 {
            call.add_field(ORDER_ID, id.to_owned());
        }
    }
}
