//! A layer fits in every usual position.

use tonic::transport::Channel;
use tonic_call::{Observe, ObserveLayer};
use tonic_call_test_kit::Recorder;

tonic_call_test_kit::fits! {
    server: ObserveLayer::server(Recorder::new()),
    client: ObserveLayer::client(Recorder::new()),
    channel: Observe<Channel, Recorder>,
}

mod switched_off {
    use super::*;

    tonic_call_test_kit::fits! {
        server: ObserveLayer::server(None::<Recorder>),
        client: ObserveLayer::client(None::<Recorder>),
        channel: Observe<Channel, Option<Recorder>>,
    }
}

/// The same as an optional layer.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(ObserveLayer::server(Recorder::new()))),
        client: option_layer(Some(ObserveLayer::client(Recorder::new()))),
        channel: OptionService<Observe<Channel, Recorder>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(ObserveLayer::server(Recorder::new())).filter(|_| false)),
        client: option_layer(Some(ObserveLayer::client(Recorder::new())).filter(|_| false)),
        channel: OptionService<Observe<Channel, Recorder>, Channel>,
    }
}
