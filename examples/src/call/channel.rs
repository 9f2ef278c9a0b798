//! The layers around the client's channel. As on the server, the observing ones are outside, then the deadline;
//! credentials are added last.

use std::time::Duration;

use tonic::transport::Channel;
use tonic_auth_layer::CredentialsLayer;
use tonic_call::{BoxChannel, MethodTable, Methods, option_layer};
use tonic_deadline_layer::{ClientDeadlineLayer, DeadlineLayer};
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::ServiceBuilder;

use super::error::CallError;
use super::output;
use crate::FILE_DESCRIPTOR_SET;
use crate::cli::CallArgs;
use crate::traces::{self, Traces};

/// The channel with its layers.
pub(super) fn layered(
    channel: Channel,
    credentials: Option<CredentialsLayer>,
    args: &CallArgs,
    traces: Option<&Traces>,
) -> Result<BoxChannel, CallError> {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)
        .map_err(|error| CallError::Input(error.to_string()))?;
    let verbose = args.verbose;
    let layers = ServiceBuilder::new()
        .layer(traces::client(traces, &args.to, &methods))
        .map_request(move |request| {
            if verbose {
                // Now, not at the end of the call: a stream may never end.
                output::print_trace_id();
            }
            request
        })
        // Metrics are printed only with `--verbose`.
        .layer(option_layer(verbose.then(|| MetricsLayer::client().methods(&methods))))
        .layer(LoggingLayer::client().methods(&methods))
        .layer(RecoveryLayer::client())
        .layer(deadline(args.timeout, &methods));
    Ok(match credentials {
        Some(credentials) => BoxChannel::new(layers.layer(credentials).service(channel)),
        None => BoxChannel::new(layers.service(channel)),
    })
}

/// Limits each method, whatever its kind: a plain limit would be for unary methods alone.
fn deadline(timeout: Option<Duration>, methods: &Methods) -> ClientDeadlineLayer {
    let limits = methods.iter().fold(MethodTable::new(None), |limits, method| {
        limits.method(method.service(), method.name(), timeout)
    });
    DeadlineLayer::client(limits).methods(methods)
}
