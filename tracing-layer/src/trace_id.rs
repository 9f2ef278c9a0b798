use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt as _, TraceId};

/// The trace that the code which runs now belongs to, to show it to people: in an error message, a page,
/// a support ticket. It prints as 32 hexadecimal digits.
///
/// `None` if there is none: outside a call, or where no tracer provider is set and the caller sent no
/// trace.
///
/// ```
/// # use tonic::{Request, Response, Status};
/// use tonic_tracing_layer::current_trace_id;
///
/// async fn handle(_: Request<()>) -> Result<Response<()>, Status> {
///     let trace = current_trace_id().map(|id| id.to_string()).unwrap_or_default();
///     Err(Status::internal(format!("something went wrong; if you ask us, say {trace}")))
/// }
/// ```
pub fn current_trace_id() -> Option<TraceId> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| span.trace_id())
    })
}
