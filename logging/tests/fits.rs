//! The layer fits wherever one would put it.
#![allow(missing_docs)]

use tonic::transport::Channel;
use tonic_call::Observe;
use tonic_logging_layer::{Logging, LoggingLayer};

tonic_call_test_kit::fits! {
    server: LoggingLayer::server(),
    client: LoggingLayer::client(),
    channel: Observe<Channel, Logging>,
}
