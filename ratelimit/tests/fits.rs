//! The layer fits wherever one would put it.
#![allow(clippy::unwrap_used)]

use tonic::transport::Channel;
use tonic_ratelimit_layer::{InFlight, Key, Quota, RateLimit, RateLimitLayer};

fn layer() -> RateLimitLayer {
    let limits = (Quota::per_second(1_000).by(Key::peer()), InFlight::new(100));
    RateLimitLayer::server(limits).fields_on_accepted().build().unwrap()
}

tonic_call_test_kit::fits! {
    server: layer(),
    // For whoever limits what he sends.
    client: layer(),
    channel: RateLimit<Channel>,
}
