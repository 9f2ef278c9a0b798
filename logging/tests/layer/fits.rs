//! The layer can be used in every usual place.

use tonic::transport::Channel;
use tonic_call::Observe;
use tonic_logging_layer::{Logging, LoggingLayer};

tonic_call_test_kit::fits! {
    server: LoggingLayer::server(),
    client: LoggingLayer::client(),
    channel: Observe<Channel, Logging>,
}

/// As a layer that a setting turns on or off.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(LoggingLayer::server())),
        client: option_layer(Some(LoggingLayer::client())),
        channel: OptionService<Observe<Channel, Logging>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(LoggingLayer::server()).filter(|_| false)),
        client: option_layer(Some(LoggingLayer::client()).filter(|_| false)),
        channel: OptionService<Observe<Channel, Logging>, Channel>,
    }
}
