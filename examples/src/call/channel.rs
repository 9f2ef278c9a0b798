//! The layers around the client's channel. As on the server, the observing ones are outside, then the deadline. Inside
//! it are the retries, and inside these the credentials, so that each attempt has a fresh token. The channel then picks
//! a server for the attempt.

use std::time::Duration;

use tonic_auth_layer::CredentialsLayer;
use tonic_balance::Balanced;
use tonic_call::{
    BoxChannel, MethodConfig, MethodTable, Methods, Rpc, ServiceConfig, option_layer,
};
use tonic_deadline_layer::{ClientDeadlineLayer, DeadlineLayer};
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_recovery_layer::RecoveryLayer;
use tonic_retry_layer::RetryLayer;
use tower::ServiceBuilder;

use super::error::CallError;
use super::output::Output;
use super::retries::CountRetries;
use crate::FILE_DESCRIPTOR_SET;
use crate::cli::CallArgs;
use crate::traces::{self, Traces};

/// The channel with its layers.
pub(super) fn layered(
    channel: Balanced,
    credentials: Option<CredentialsLayer>,
    args: &CallArgs,
    config: &ServiceConfig,
    traces: Option<&Traces>,
    output: Output,
) -> Result<BoxChannel, CallError> {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)
        .map_err(|error| CallError::Input(error.to_string()))?;
    let verbose = args.verbose;
    let tracing = traces.map(|traces| traces::client(traces, args.first_url(), &methods));
    let layers = ServiceBuilder::new()
        .layer(option_layer(tracing))
        .map_request(move |request| {
            if verbose {
                // Now, not at the end of the call: a stream may never end.
                output.trace_id();
            }
            request
        })
        // Metrics are printed only with `--verbose`.
        .layer(option_layer(verbose.then(|| MetricsLayer::client().methods(&methods))))
        .layer(LoggingLayer::client().methods(&methods))
        .layer(RecoveryLayer::client())
        .layer(deadline(args.timeout, config, &methods))
        .layer(retry(config, verbose));
    Ok(match credentials {
        Some(credentials) => BoxChannel::new(layers.layer(credentials).service(channel)),
        None => BoxChannel::new(layers.service(channel)),
    })
}

/// The config of `--service-config`. Without a file it has no retry policy: not every call may be made twice.
pub(super) fn service_config(args: &CallArgs) -> Result<ServiceConfig, CallError> {
    let Some(json) = &args.service_config else { return Ok(ServiceConfig::default()) };
    json.parse().map_err(CallError::Input)
}

/// The shorter one of `--timeout` and the config's timeout, for each method whatever its kind: a plain limit would be
/// for unary methods alone.
fn deadline(
    timeout: Option<Duration>,
    config: &ServiceConfig,
    methods: &Methods,
) -> ClientDeadlineLayer {
    let limits = methods.iter().fold(MethodTable::new(None), |limits, method| {
        let path = format!("/{}", method.full()).parse().ok();
        let configured = config.method(&Rpc::from_path(path)).and_then(MethodConfig::timeout);
        let limit = timeout.into_iter().chain(configured).min();
        limits.method(method.service(), method.name(), limit)
    });
    DeadlineLayer::client(limits).methods(methods)
}

fn retry(config: &ServiceConfig, verbose: bool) -> RetryLayer {
    let layer = RetryLayer::new(config);
    if verbose { layer.hook(CountRetries::new()) } else { layer }
}
