//! What handlers add to the log line of their call.

use tonic::Request;
use tonic_call::CallInfo;

/// The order that the call is about.
pub(crate) const ORDER_ID: &str = "order.id";

/// What lines have a key of their own for, besides what the layers add.
pub(crate) const KEYS: [&str; 1] = [ORDER_ID];

/// The metadata that lines tell: how often the caller has tried before.
pub(crate) const METADATA: [&str; 1] = ["grpc-previous-rpc-attempts"];

/// What the handler says of a call, beyond the request's life.
#[derive(Clone, Default)]
pub(crate) struct Fields(Option<CallInfo>);

impl Fields {
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        Self(CallInfo::of(request.extensions()).cloned())
    }

    pub(crate) fn order(&self, id: &str) {
        if let Some(call) = &self.0 {
            call.add_field(ORDER_ID, id.to_owned());
        }
    }
}
