//! The layer can be used in every usual place.

use tonic::transport::Channel;
use tonic_call::Observe;
use tonic_metrics_layer::{Metrics, MetricsLayer};

tonic_call_test_kit::fits! {
    server: MetricsLayer::server(),
    client: MetricsLayer::client(),
    channel: Observe<Channel, Metrics>,
}

/// As a layer that a setting turns on or off.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(MetricsLayer::server())),
        client: option_layer(Some(MetricsLayer::client())),
        channel: OptionService<Observe<Channel, Metrics>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(MetricsLayer::server()).filter(|_| false)),
        client: option_layer(Some(MetricsLayer::client()).filter(|_| false)),
        channel: OptionService<Observe<Channel, Metrics>, Channel>,
    }
}
