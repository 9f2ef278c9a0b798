//! The layer can be used in every usual place.

use tonic::transport::Channel;
use tonic_call::Observe;
use tonic_tracing_layer::{Tracing, TracingLayer};

tonic_call_test_kit::fits! {
    server: TracingLayer::server(),
    client: TracingLayer::client("orders.svc:8080"),
    channel: Observe<Channel, Tracing>,
}

/// As a layer that a setting turns on or off.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(TracingLayer::server())),
        client: option_layer(Some(TracingLayer::client("orders.svc:8080"))),
        channel: OptionService<Observe<Channel, Tracing>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(TracingLayer::server()).filter(|_| false)),
        client: option_layer(Some(TracingLayer::client("orders.svc:8080")).filter(|_| false)),
        channel: OptionService<Observe<Channel, Tracing>, Channel>,
    }
}
