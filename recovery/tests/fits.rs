//! The layer fits wherever one would put it.
#![allow(missing_docs)]

use tonic::transport::Channel;
use tonic_recovery_layer::{Recover, RecoveryLayer};

tonic_call_test_kit::fits! {
    server: RecoveryLayer::server(),
    client: RecoveryLayer::client(),
    channel: Recover<Channel>,
}
