//! Fields that handlers, authentication and limits add to the log line of a call.

use tonic::Request;
use tonic_call::CallInfo;

/// The id of the order that the call concerns.
pub(crate) const ORDER_ID: &str = "order.id";

/// The name in the client certificate of the caller.
pub(crate) const CERTIFICATE: &str = "mtls.caller";

/// Where that name comes from: the connection, or the header of a proxy.
pub(crate) const CERTIFICATE_SOURCE: &str = "mtls.source";

/// What has decided about the limits that servers share: Redis or a fallback.
const LIMITS_DECIDED_BY: &str = "ratelimit.source";

/// All of them.
pub(crate) const KEYS: [&str; 4] = [ORDER_ID, CERTIFICATE, CERTIFICATE_SOURCE, LIMITS_DECIDED_BY];

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
