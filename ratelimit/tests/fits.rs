//! The layer fits every place where it can be used.
#![allow(clippy::unwrap_used)]

use tonic::transport::Channel;
use tonic_ratelimit_layer::{InFlight, Key, Quota, RateLimit, RateLimitLayer};

fn layer() -> RateLimitLayer {
    let limits = (Quota::per_second(1_000).by(Key::peer()), InFlight::new(100));
    RateLimitLayer::server(limits).fields_on_accepted().build().unwrap()
}

tonic_call_test_kit::fits! {
    server: layer(),
    // For limits on a client.
    client: layer(),
    channel: RateLimit<Channel>,
}

/// As a layer that a setting turns on or off.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(layer())),
        client: option_layer(Some(layer())),
        channel: OptionService<RateLimit<Channel>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(layer()).filter(|_| false)),
        client: option_layer(Some(layer()).filter(|_| false)),
        channel: OptionService<RateLimit<Channel>, Channel>,
    }
}
