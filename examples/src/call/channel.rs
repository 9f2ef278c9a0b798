//! What stands around the channel: as on the server, what watches is outside.

use tonic::transport::Channel;
use tonic_call::{BoxChannel, Methods};
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::ServiceBuilder;

use super::Failure;
use crate::FILE_DESCRIPTOR_SET;

pub(super) fn layered(channel: Channel) -> Result<BoxChannel, Failure> {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)
        .map_err(|error| Failure::Input(error.to_string()))?;
    let layers = ServiceBuilder::new()
        .layer(MetricsLayer::client().methods(&methods))
        .layer(LoggingLayer::client().methods(&methods))
        .layer(RecoveryLayer::client());
    Ok(BoxChannel::new(layers.service(channel)))
}
