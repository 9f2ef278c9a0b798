//! The layer fits in every usual position.

use tonic::transport::Channel;
use tonic_recovery_layer::{Recover, RecoveryLayer};

tonic_call_test_kit::fits! {
    server: RecoveryLayer::server(),
    client: RecoveryLayer::client(),
    channel: Recover<Channel>,
}

/// The same as an optional layer.
mod turned_on {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(RecoveryLayer::server())),
        client: option_layer(Some(RecoveryLayer::client())),
        channel: OptionService<Recover<Channel>, Channel>,
    }
}

mod turned_off {
    use tonic_call::{OptionService, option_layer};

    use super::*;

    tonic_call_test_kit::fits! {
        server: option_layer(Some(RecoveryLayer::server()).filter(|_| false)),
        client: option_layer(Some(RecoveryLayer::client()).filter(|_| false)),
        channel: OptionService<Recover<Channel>, Channel>,
    }
}
