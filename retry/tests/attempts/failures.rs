//! Which failures are retried, how often and when: gRFC A6, row by row. Time is paused.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tonic::body::Body;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_call::BoxError;
use tonic_call_test_kit::{Script, to, with};
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::{Layer as _, Service as _, service_fn};

use crate::common::{Act, Server, call, config, layer, with_policy};

fn unavailable(times: usize) -> impl Iterator<Item = Act> {
    std::iter::repeat_with(Act::unavailable).take(times)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_is_sent_once_and_as_it_is() {
    let server = Server::new([Act::ok()]);
    let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!((outcome.code, outcome.messages, outcome.at), (Code::Ok, 1, 0));
    assert_eq!(server.header("grpc-previous-rpc-attempts"), [None]);
    assert_eq!(server.header("grpc-timeout"), [None]);
}

#[tokio::test(start_paused = true)]
async fn a_retryable_code_is_retried_with_growing_waits_up_to_the_maximum() {
    let server = Server::new(unavailable(3).chain([Act::ok()]));
    let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!((outcome.code, outcome.messages), (Code::Ok, 1));
    assert_eq!(server.times(), [0, 100, 300, 600]);
    let previous = server.header("grpc-previous-rpc-attempts");
    assert_eq!(previous, [None, Some("1".into()), Some("2".into()), Some("3".into())]);
}

#[tokio::test(start_paused = true)]
async fn waits_have_a_jitter_of_a_fifth() {
    for (random, times) in [(0.0, [0, 80, 240, 480]), (1.0, [0, 120, 360, 720])] {
        let server = Server::new(unavailable(3).chain([Act::ok()]));
        let layer = RetryLayer::new(&config()).with_random(move || random);
        call(&server, &layer, to("/a.B/C")).await;
        assert_eq!(server.times(), times);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_the_callers_when_the_attempts_are_exhausted() {
    let last =
        Act::Refuse(Code::Unavailable, &[("grpc-retry-pushback-ms", "5"), ("x-last", "yes")]);
    let server = Server::new(unavailable(3).chain([last]));
    let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!((outcome.code, outcome.message.as_str()), (Code::Unavailable, "on purpose"));
    assert_eq!((server.attempts(), outcome.at), (4, 600));
}

#[tokio::test(start_paused = true)]
async fn the_config_of_the_guides_makes_four_attempts() {
    let json = include_str!("../../../call/tests/service_config/orders.json");
    let layer = layer(&ServiceConfig::from_json(json).unwrap());
    let late = || Act::Refuse(Code::DeadlineExceeded, &[]);
    let server = Server::new([Act::unavailable(), late(), Act::unavailable(), late()]);
    let outcome = call(&server, &layer, to("/orders.v1.OrderService/GetOrder")).await;
    assert_eq!(outcome.code, Code::DeadlineExceeded);
    assert_eq!(server.times(), [0, 100, 300, 700]);
}

#[tokio::test(start_paused = true)]
async fn more_attempts_than_five_are_five_unless_the_layer_allows_others() {
    let json = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 100, "initialBackoff": "1s", "maxBackoff": "1s",
        "backoffMultiplier": 1, "retryableStatusCodes": [14]
    }}]}"#;
    let config = ServiceConfig::from_json(json).unwrap();
    for (layer, attempts) in [
        (layer(&config), 5),
        (layer(&config).max_attempts(7), 7),
        (layer(&config).max_attempts(1), 1),
        (layer(&config).max_attempts(0), 1),
    ] {
        let server = Server::new(unavailable(attempts));
        assert_eq!(call(&server, &layer, to("/a.B/C")).await.code, Code::Unavailable);
        assert_eq!(server.attempts(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn another_code_and_a_method_without_a_policy_are_not_retried() {
    for (path, code) in [("/a.B/C", Code::Internal), ("/a.C/C", Code::Unavailable)] {
        let server = Server::new([Act::Refuse(code, &[])]);
        let outcome = call(&server, &layer(&config()), to(path)).await;
        assert_eq!((outcome.code, server.attempts()), (code, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_head_commits_the_call() {
    let fails = |script: Script| Act::Respond(script.trailers(Code::Unavailable));
    for (script, messages) in [(Script::new(), 0), (Script::new().messages(2), 2)] {
        let server = Server::new([fails(script)]);
        let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
        assert_eq!((outcome.code, outcome.messages), (Code::Unavailable, messages));
        assert_eq!(server.attempts(), 1);
    }
    let broken = Script::new().messages(1).error(Status::unavailable("lost"));
    let server = Server::new([Act::Respond(broken)]);
    let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!((outcome.code, outcome.messages, server.attempts()), (Code::Unavailable, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_http_error_of_a_proxy_is_a_failure_like_a_status() {
    let server = Server::new([Act::Http(503), Act::Http(429), Act::ok()]);
    let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!((outcome.code, server.attempts()), (Code::Ok, 3));
    let server = Server::new([Act::Http(404)]);
    call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!(server.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn pushback_replaces_the_wait_and_starts_the_growth_again() {
    let after = |ms| Act::Refuse(Code::Unavailable, ms);
    let server = Server::new([
        Act::unavailable(),
        after(&[("grpc-retry-pushback-ms", "5000")]),
        Act::unavailable(),
        Act::ok(),
    ]);
    let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!(outcome.code, Code::Ok);
    assert_eq!(server.times(), [0, 100, 5_100, 5_200]);

    let server = Server::new([after(&[("grpc-retry-pushback-ms", "0")]), Act::ok()]);
    call(&server, &layer(&config()), to("/a.B/C")).await;
    assert_eq!(server.times(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn negative_malformed_or_repeated_pushback_stops_the_retries() {
    const NAME: &str = "grpc-retry-pushback-ms";
    for headers in
        [&[(NAME, "-1")][..], &[(NAME, "soon")], &[(NAME, "")], &[(NAME, "5"), (NAME, "5")]]
    {
        let server = Server::new([Act::Refuse(Code::Unavailable, headers)]);
        let outcome = call(&server, &layer(&config()), to("/a.B/C")).await;
        assert_eq!((outcome.code, server.attempts()), (Code::Unavailable, 1), "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pushback_does_not_make_another_code_retryable() {
    let server = Server::new([Act::Refuse(Code::Internal, &[("grpc-retry-pushback-ms", "5")])]);
    assert_eq!(call(&server, &layer(&config()), to("/a.B/C")).await.code, Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_sends_the_time_that_is_left() {
    let server = Server::new(unavailable(2).chain([Act::ok()]));
    let request = with(to("/a.B/C"), &[("grpc-timeout", "1S")]);
    call(&server, &layer(&config()), request).await;
    let left = server.header("grpc-timeout").into_iter().map(Option::unwrap);
    assert_eq!(left.collect::<Vec<_>>(), ["1000000u", "900000u", "700000u"]);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_wait_beyond_the_deadline() {
    // The waits are 100 and 200 ms.
    for (timeout, attempts, at) in [("100m", 1, 0), ("101m", 2, 100), ("300m", 2, 100)] {
        let server = Server::new(unavailable(attempts));
        let request = with(to("/a.B/C"), &[("grpc-timeout", timeout)]);
        let outcome = call(&server, &layer(&config()), request).await;
        assert_eq!((outcome.code, outcome.at), (Code::Unavailable, at), "{timeout}");
        assert_eq!(server.attempts(), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_attempt_that_hangs() {
    let server = Server::new([Act::unavailable(), Act::Hang]);
    let request = with(to("/a.B/C"), &[("grpc-timeout", "2S")]);
    let outcome = call(&server, &layer(&config()), request).await;
    assert_eq!((outcome.code, outcome.at), (Code::DeadlineExceeded, 2_000));
    assert_eq!(outcome.message, "the deadline has passed");
    assert_eq!(server.times(), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_the_server_reports_is_retried_and_one_of_the_channel_never() {
    let config = with_policy("DEADLINE_EXCEEDED CANCELLED", "");
    let server = Server::new([Act::Refuse(Code::DeadlineExceeded, &[]), Act::ok()]);
    assert_eq!(call(&server, &layer(&config), to("/a.B/C")).await.code, Code::Ok);

    // What tonic makes of its timer is `CANCELLED`.
    for error in [
        || BoxError::from(TimeoutExpired(())),
        || Status::from_error(Box::new(TimeoutExpired(()))).into(),
    ] {
        let server = Server::new([Act::fail(error)]);
        let outcome = call(&server, &layer(&config), to("/a.B/C")).await;
        assert_eq!((outcome.code, server.attempts()), (Code::DeadlineExceeded, 1));
        assert_eq!(outcome.message, "the channel's own timeout has passed");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_retried_by_its_code_if_the_server_may_have_processed_the_call() {
    let lost = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset));
    let server = Server::new([Act::fail(lost), Act::ok()]);
    assert_eq!(call(&server, &layer(&config()), to("/a.B/C")).await.code, Code::Ok);
    assert_eq!(server.times(), [0, 100]);

    let server = Server::new([Act::fail(lost)]);
    let outcome = call(&server, &layer(&with_policy("ABORTED", "")), to("/a.B/C")).await;
    assert_eq!((outcome.code, server.attempts()), (Code::Unavailable, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_a_call_that_fails_fast_is_retried_by_policy() {
    let refused =
        || ConnectError(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused))).into();
    let server = Server::new([Act::fail(refused), Act::fail(refused), Act::ok()]);
    assert_eq!(call(&server, &layer(&config()), to("/a.B/C")).await.code, Code::Ok);
    assert_eq!(server.times(), [0, 100, 300]);
    let server = Server::new([Act::fail(refused)]);
    assert_eq!(call(&server, &layer(&config()), to("/other/C")).await.code, Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_callers_metadata_and_extensions_are_in_every_attempt() {
    #[derive(Clone, PartialEq, Debug)]
    struct Tenant(u32);

    let server = Server::new([Act::unavailable(), Act::ok()]);
    let mut request = with(
        to("/a.B/C"),
        // As if it passed on the metadata of an inbound call that was an attempt itself.
        &[("x-tenant", "7"), ("grpc-previous-rpc-attempts", "3")],
    );
    request.extensions_mut().insert(Tenant(7));
    call(&server, &layer(&config()), request).await;
    assert_eq!(server.header("x-tenant"), [Some("7".into()), Some("7".into())]);
    assert_eq!(server.header("grpc-previous-rpc-attempts"), [None, Some("1".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_by_itself_is_not_sent_again() {
    let broken = || Script::new().message(b"x").error(Status::unavailable("the caller's own"));
    let server = Server::new([Act::ok()]);
    let request = to("/a.B/C").map(|_| broken());
    let outcome = call(&server, &layer(&config()), request).await;
    assert_eq!((outcome.code, server.attempts()), (Code::Unavailable, 1));
}

/// Makes a call, drops it while its request is read, and checks what is left.
async fn drop_a_call(layer: RetryLayer) {
    struct Dropped(Arc<Mutex<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    async fn next(body: &mut Body) -> Result<Frame<Bytes>, Status> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.unwrap()
    }

    let dropped = Arc::new(Mutex::new(false));
    let held = Arc::new(Mutex::new(Some(Dropped(Arc::clone(&dropped)))));
    let (bodies, mut body) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Body>| {
        let held = held.lock().unwrap().take();
        bodies.send(request.into_body()).unwrap();
        async move {
            let _held = held;
            std::future::pending::<Result<Response<Script>, Status>>().await
        }
    });
    let request = to("/a.B/C").map(|_| Script::new().message(b"x").stall());
    let response = tokio::spawn(layer.layer(service).call(request));
    let mut body = body.recv().await.unwrap();
    assert!(next(&mut body).await.is_ok());
    let after = tokio::spawn(async move { next(&mut body).await });
    tokio::task::yield_now().await;
    response.abort();
    assert!(response.await.unwrap_err().is_cancelled());
    assert!(*dropped.lock().unwrap());
    let status = after.await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "the call is over"));
    assert_eq!(layer.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_cancels_its_attempt_and_ends_its_request() {
    drop_a_call(layer(&config())).await;
    // Also if there could be no other attempt.
    drop_a_call(layer(&config()).call_bytes(0)).await;
}
