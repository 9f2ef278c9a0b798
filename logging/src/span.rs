//! The span around a handler.

use http::request;
use tonic_call::{Rpc, TraceIds, joined, printable};
use tracing::Span;

use crate::line::Hex;
use crate::observer::request_id;

/// The span that lets the events of a handler carry the call's fields.
///
/// Its target is one of its own, so that it can be filtered out.
pub(crate) fn around(rpc: &Rpc, head: &request::Parts) -> Span {
    // Looked at first: what the fields say is worth nothing if nobody listens.
    if !tracing::span_enabled!(target: "tonic_logging_layer::handler", tracing::Level::INFO) {
        return Span::none();
    }
    let trace = TraceIds::from_headers(&head.headers);
    let request_id = joined(request_id(&head.headers));
    tracing::info_span!(
        target: "tonic_logging_layer::handler",
        "call",
        rpc.method = &*method(rpc),
        request_id = request_id.as_deref(),
        trace_id = trace.map(|ids| tracing::field::display(Hex(ids.trace_id(), 32))),
    )
}

/// The method, as far as it is one; whatever path it was, otherwise.
pub(crate) fn method(rpc: &Rpc) -> std::borrow::Cow<'_, str> {
    printable(if rpc.is_well_formed() { rpc.full() } else { rpc.path() })
}
