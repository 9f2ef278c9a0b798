//! Parts of the help that several commands share.

/// Heading of the flags that every method of `orders call` has.
pub(super) const CALL_OPTIONS: &str = "Options for every method";

/// Heading of the flags of `orders serve` that are about callers.
pub(super) const AUTHENTICATION: &str = "Authentication";

/// Heading of its flags that limit calls.
pub(super) const LIMITS: &str = "Rate and concurrency limits";

macro_rules! otlp_variables {
    () => {
        "\
Environment variables for --otlp:
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
          Service name and resource attributes of the spans [default: service.name=orders; for
          `orders call`, orders-call]
  OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
          Which calls are sampled [default: parentbased_always_on]
  OTEL_SEMCONV_STABILITY_OPT_IN
          Which version of the semantic conventions names the span attributes
  OTEL_BSP_*, OTEL_BLRP_*, OTEL_SPAN_*
          Queue size, batch size, delays and attribute limits, such as OTEL_BSP_SCHEDULE_DELAY
  OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_{TRACES,LOGS}_*
          Metadata sent to the collector, such as credentials, and its timeout in milliseconds
OTEL_EXPORTER_OTLP_ENDPOINT is ignored: without --otlp no spans are sent.

At exit, spans that are still queued are sent for up to three seconds. A failure to send them is logged; it
does not change the exit status."
    };
}

/// The end of the help of `orders serve`.
pub(super) const SERVE_VARIABLES: &str = concat!(
    "\
Each option can also be set by an environment variable: --drain-limit by ORDERS_DRAIN_LIMIT, and so on; --web,
--redis-remember, --redis-ready and --metrics-tls by `true`. An option on the command line counts before its variable,
and a variable that is set to nothing does not count. The configuration is logged at the start, without passwords, and a variable
ORDERS_… that sets nothing has a warning.

",
    otlp_variables!()
);

/// The environment variables of `--otlp`, at the end of the help.
pub(super) const OTLP_VARIABLES: &str = otlp_variables!();
