//! The layer fits wherever one would put it.
#![allow(missing_docs)]

use tonic::transport::Channel;
use tonic_call::Observe;
use tonic_metrics_layer::{Metrics, MetricsLayer};

tonic_call_test_kit::fits! {
    server: MetricsLayer::server(),
    client: MetricsLayer::client(),
    channel: Observe<Channel, Metrics>,
}
