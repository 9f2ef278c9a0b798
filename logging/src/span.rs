//! The span around a handler.

use http::request;
use tonic_call::{CallInfo, Rpc, Side, TraceIds, joined};
use tracing::Span;

use crate::facts::request_id;

/// The span whose fields the handler's own events carry.
///
/// It has its own target, so that a filter can turn it off. Its fields are evaluated only if it is enabled.
pub(crate) fn around(rpc: &Rpc, head: &request::Parts) -> Span {
    tracing::info_span!(
        target: "tonic_logging_layer::handler",
        "call",
        rpc.method = &*rpc.shown(),
        request_id = joined(request_id(&head.headers)).as_deref(),
        trace_id = trace(head).map(|ids| display(ids.trace_hex())),
    )
}

fn trace(head: &request::Parts) -> Option<TraceIds> {
    let of_layer = CallInfo::of_side(Side::Server, &head.extensions).and_then(CallInfo::trace);
    of_layer.or_else(|| TraceIds::from_headers(&head.headers))
}
