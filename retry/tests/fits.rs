//! The layer fits every place where a client's layer can be used.
#![allow(clippy::unwrap_used)]

use tonic::transport::Channel;
use tonic_retry_layer::{RetryChannel, RetryLayer, ServiceConfig};
use tower::layer::util::Identity;

fn client() -> RetryLayer {
    RetryLayer::new(&ServiceConfig::default())
}

tonic_call_test_kit::fits! {
    server: Identity::new(),
    client: client(),
    channel: RetryChannel<Channel>,
}

/// As a layer that a setting turns on or off.
mod optional {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: Identity::new(),
        client: option_layer(Some(client())),
        channel: OptionService<RetryChannel<Channel>, Channel>,
    }
}
