//! A directive with the span and its fields enables the events of matching calls: for example
//! all details of one request.
//!
//! In its own process, because `tracing` caches interest for all threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Capture, Lines, run, to, with};
use http::Request;
use tonic::Status;
use tonic::body::Body;
use tonic_call_test_kit::Script;
use tonic_logging_layer::LoggingLayer;
use tower::{Layer as _, service_fn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::test]
async fn the_details_of_one_request_are_turned_on_by_a_directive() {
    let filter = EnvFilter::new("warn,[call{request_id=wanted}]=debug");
    let subscriber = tracing_subscriber::registry().with(filter).with(Capture);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let lines = Lines::of_this_thread();
    let service = service_fn(async |_: Request<Body>| {
        tracing::debug!("a detail");
        Ok::<_, Status>(Script::new().trailers(tonic::Code::Ok).respond())
    });
    let mut service = LoggingLayer::server().layer(service);
    for id in ["other", "wanted", "another"] {
        run(&mut service, with(to("/a.B/C"), &[("x-request-id", id)])).await;
    }
    let events = lines.events();
    let details: Vec<_> = events.iter().filter(|event| event.message() == "a detail").collect();
    assert_eq!(details.len(), 1, "{events:#?}");
    assert_eq!(details[0].spans[0].fields["request_id"], "wanted");
}
