use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceId};
use tonic_call::TraceIds;

/// The id of the current trace, for example to put it into an error message. It prints as 32 hexadecimal
/// digits.
///
/// `None` outside a call, or if no tracer provider is set and the caller sent no trace.
///
/// ```
/// # use tonic::{Request, Response, Status};
/// use tonic_tracing_layer::current_trace_id;
///
/// async fn handle(_: Request<()>) -> Result<Response<()>, Status> {
///     let trace = current_trace_id().map(|id| id.to_string()).unwrap_or_default();
///     Err(Status::internal(format!("internal error, trace id {trace}")))
/// }
/// ```
pub fn current_trace_id() -> Option<TraceId> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| span.trace_id())
    })
}

/// The ids of a span; `None` if they are invalid.
pub(crate) fn trace_ids(span: &SpanContext) -> Option<TraceIds> {
    let trace = u128::from_be_bytes(span.trace_id().to_bytes());
    TraceIds::new(trace, u64::from_be_bytes(span.span_id().to_bytes()))
}
