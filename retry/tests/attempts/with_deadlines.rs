//! Inside a deadline layer that reads the same config. Time is paused.

use std::time::Duration;

use http::Request;
use tokio::time::Instant;
use tonic::Code;
use tonic_call_test_kit::{Script, to, with};
use tonic_deadline_layer::{Deadline, DeadlineLayer};
use tonic_retry_layer::ServiceConfig;
use tower::{Service as _, ServiceBuilder};

use crate::common::{Act, Outcome, Server, layer, read, with_policy};

async fn call(server: &Server, config: &ServiceConfig, request: Request<Script>) -> Outcome {
    let mut channel = ServiceBuilder::new()
        .layer(DeadlineLayer::client(config))
        .layer(layer(config))
        .service(server.clone());
    let began = Instant::now();
    read(channel.call(request).await, began).await
}

fn two_seconds() -> ServiceConfig {
    with_policy("UNAVAILABLE DEADLINE_EXCEEDED", r#", "timeout": "2s""#)
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_config_spans_all_attempts() {
    let server = Server::new([Act::unavailable(), Act::Hang]);
    let outcome = call(&server, &two_seconds(), to("/a.B/C")).await;
    assert_eq!((outcome.code, outcome.at), (Code::DeadlineExceeded, 2_000));
    assert_eq!(outcome.message, "the client's limit of 2s for this call has passed");
    let sent = [Some("2000000u".to_owned()), Some("1900000u".to_owned())];
    assert_eq!(server.header("grpc-timeout"), sent);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_attempt_is_answered_ends_at_the_deadline_too() {
    let server = Server::new([Act::unavailable(), Act::Respond(Script::new().messages(2).stall())]);
    let outcome = call(&server, &two_seconds(), to("/a.B/C")).await;
    assert_eq!((outcome.code, outcome.messages), (Code::DeadlineExceeded, 2));
    assert_eq!(outcome.at, 2_000);
}

#[tokio::test(start_paused = true)]
async fn the_callers_shorter_deadline_and_that_of_the_inbound_call_count() {
    let server = Server::new([Act::Hang]);
    let request = with(to("/a.B/C"), &[("grpc-timeout", "1S")]);
    let outcome = call(&server, &two_seconds(), request).await;
    assert_eq!((outcome.code, outcome.at), (Code::DeadlineExceeded, 1_000));

    let server = Server::new([Act::unavailable(), Act::Hang]);
    let inbound = Deadline::after(Duration::from_millis(500));
    let config = two_seconds();
    let outcome = Deadline::scope(inbound, call(&server, &config, to("/a.B/C"))).await;
    assert_eq!((outcome.code, outcome.at), (Code::DeadlineExceeded, 500));
    assert_eq!(server.header("grpc-timeout")[1].as_deref(), Some("400000u"));
}
