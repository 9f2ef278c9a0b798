//! The call whose handler runs on this thread, for the formatter of `json`.

use tonic_call::joined;

use crate::facts::Facts;
use crate::json::object::Object;

scoped_tls::scoped_thread_local! {
    static CURRENT: Facts
}

/// Runs a step of a call, in which [`append`] finds the call.
pub(crate) fn scope<T>(facts: &Facts, step: impl FnOnce() -> T) -> T {
    CURRENT.set(facts, step)
}

/// Appends the member `call` if a handler runs on this thread whose layer has no span around it: an object with the
/// fields that the span would have.
///
/// Not for root events. The layer's own lines are such, and they have these fields already.
pub(crate) fn append(event: &mut Object<'_>) {
    if !CURRENT.is_set() {
        return;
    }
    CURRENT.with(|facts| {
        let mut call = Object::open(event.value("call"));
        call.string("rpc.method", &facts.rpc.shown());
        if let Some(request_id) = joined(&facts.request_id) {
            call.string("request_id", &request_id);
        }
        if let Some(trace) = facts.trace() {
            call.ascii("trace_id", trace.trace_hex().as_bytes());
        }
        call.close();
    });
}
