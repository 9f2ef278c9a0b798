//! The span has its own target: a directive disables it without the lines.
//!
//! In its own process, because `tracing` caches interest for all threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Capture, Lines, run, to};
use http::Request;
use tonic::Status;
use tonic::body::Body;
use tonic_call_test_kit::Script;
use tonic_logging_layer::LoggingLayer;
use tower::{Layer as _, service_fn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::test]
async fn a_directive_removes_the_span_and_the_lines_stay() {
    let filter = EnvFilter::new("info,tonic_logging_layer::handler=off");
    let subscriber = tracing_subscriber::registry().with(filter).with(Capture);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let lines = Lines::of_this_thread();
    let service = service_fn(async |_: Request<Body>| {
        assert!(tracing::Span::current().is_none());
        tracing::info!("in a handler");
        Ok::<_, Status>(Script::new().trailers(tonic::Code::Ok).respond())
    });
    run(LoggingLayer::server().layer(service), to("/a.B/C")).await;
    let events = lines.events();
    let messages: Vec<_> = events.iter().map(common::Seen::message).collect();
    assert_eq!(messages, ["in a handler", "finished call"]);
    assert!(events.iter().all(|event| event.spans.is_empty()));
}
