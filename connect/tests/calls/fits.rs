//! The layer fits every place where it can be used.

use tonic::transport::Channel;
use tonic_call_test_kit::FILE_DESCRIPTOR_SET;
use tonic_connect_layer::{Connect, ConnectLayer};

fn layer() -> ConnectLayer {
    ConnectLayer::new(FILE_DESCRIPTOR_SET).unwrap()
}

tonic_call_test_kit::fits! {
    server: layer(),
    client: layer(),
    channel: Connect<Channel>,
}
