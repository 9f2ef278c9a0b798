//! The layer fits wherever one would put it.
#![allow(missing_docs)]

use tonic::transport::Channel;
use tonic_call::Observe;
use tonic_tracing_layer::{Tracing, TracingLayer};

tonic_call_test_kit::fits! {
    server: TracingLayer::server(),
    client: TracingLayer::client("orders.svc:8080"),
    channel: Observe<Channel, Tracing>,
}
