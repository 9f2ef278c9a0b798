//! The span around a handler.

use std::borrow::Cow;

use http::request;
use tonic_call::{CallInfo, Rpc, Side, TraceIds, joined};
use tracing::Span;

use crate::line::Hex;
use crate::observer::request_id;

/// The span that lets the events of a handler carry the call's fields.
///
/// Its target is one of its own, so that it can be filtered out. What the fields say is looked up only
/// if somebody listens.
pub(crate) fn around(rpc: &Rpc, head: &request::Parts) -> Span {
    tracing::info_span!(
        target: "tonic_logging_layer::handler",
        "call",
        rpc.method = &*method(rpc),
        request_id = joined(request_id(&head.headers)).as_deref(),
        trace_id = trace(head).map(|ids| display(Hex(ids.trace_id(), 32))),
    )
}

/// The method, as far as it is one; whatever path it was, otherwise.
pub(crate) fn method(rpc: &Rpc) -> Cow<'_, str> {
    rpc.shown()
}

fn trace(head: &request::Parts) -> Option<TraceIds> {
    let told = CallInfo::of_side(Side::Server, &head.extensions).and_then(CallInfo::trace);
    told.or_else(|| TraceIds::from_headers(&head.headers))
}
