//! What stands around the channel: as on the server, what watches is outside, and
//! credentials are added last.

use tonic::transport::Channel;
use tonic_auth_layer::CredentialsLayer;
use tonic_call::{BoxChannel, Methods, option_layer};
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::ServiceBuilder;

use super::{Failure, output};
use crate::FILE_DESCRIPTOR_SET;
use crate::cli::CallArgs;
use crate::traces::{self, Traces};

pub(super) fn layered(
    channel: Channel,
    credentials: Option<CredentialsLayer>,
    args: &CallArgs,
    traces: Option<&Traces>,
) -> Result<BoxChannel, Failure> {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)
        .map_err(|error| Failure::Input(error.to_string()))?;
    let verbose = args.verbose;
    let layers = ServiceBuilder::new()
        .layer(traces::client(traces, &args.to, &methods))
        .map_request(move |request| {
            if verbose {
                // At its begin: a stream may go on until somebody has enough of it.
                output::trace_id();
            }
            request
        })
        // Without `-v` nobody looks at what is counted.
        .layer(option_layer(verbose.then(|| MetricsLayer::client().methods(&methods))))
        .layer(LoggingLayer::client().methods(&methods))
        .layer(RecoveryLayer::client());
    Ok(match credentials {
        Some(credentials) => BoxChannel::new(layers.layer(credentials).service(channel)),
        None => BoxChannel::new(layers.service(channel)),
    })
}
