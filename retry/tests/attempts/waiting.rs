//! Calls that wait for a connection. Time is paused.

use std::io;

use tonic::{Code, ConnectError};
use tonic_call_test_kit::{Lines, to, with};
use tonic_retry_layer::{ServiceConfig, WaitForReady};

use crate::common::{Act, Server, call, layer, with_policy};

fn refused() -> Act {
    Act::fail(|| ConnectError(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused))).into())
}

fn refusals(times: usize) -> impl Iterator<Item = Act> {
    std::iter::repeat_with(refused).take(times)
}

fn config(wait_for_ready: &str) -> ServiceConfig {
    let json =
        format!(r#"{{"methodConfig": [{{"name": [{{}}], "waitForReady": {wait_for_ready}}}]}}"#);
    ServiceConfig::from_json(&json).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_connection_if_the_config_says_so_or_the_caller() {
    for (of_config, of_call, waits) in [
        ("true", None, true),
        ("false", None, false),
        ("null", None, false),
        ("false", Some(WaitForReady(true)), true),
        ("true", Some(WaitForReady(false)), false),
    ] {
        let server = Server::new(refusals(3).chain([Act::ok()]));
        let mut request = with(to("/a.B/C"), &[("grpc-timeout", "9S")]);
        if let Some(of_call) = of_call {
            request.extensions_mut().insert(of_call);
        }
        let outcome = call(&server, &layer(&config(of_config)), request).await;
        let code = if waits { Code::Ok } else { Code::Unavailable };
        assert_eq!((outcome.code, server.attempts()), (code, if waits { 4 } else { 1 }));
        assert!(!waits || server.times() == [0, 100, 260, 516], "{:?}", server.times());
        // They are not attempts of a policy.
        assert!(server.header("grpc-previous-rpc-attempts").iter().all(Option::is_none));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_until_its_deadline_and_says_what_it_has_waited_for() {
    let server = Server::new(refusals(3));
    let request = with(to("/a.B/C"), &[("grpc-timeout", "300m")]);
    let outcome = call(&server, &layer(&config("true")), request).await;
    assert_eq!((outcome.code, outcome.at), (Code::DeadlineExceeded, 300));
    assert_eq!(outcome.message, "the deadline has passed, and there was no connection");
    assert_eq!(server.times(), [0, 100, 260]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_without_a_deadline_causes_one_warning_per_layer() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let layer = layer(&config("true"));
    let server = Server::new([Act::ok()]);
    call(&server, &layer, to("/a.B/C")).await;
    assert_eq!(lines.text(), "", "it has not waited");
    for _ in 0..2 {
        let server = Server::new(refusals(2).chain([Act::ok()]));
        assert_eq!(call(&server, &layer.clone(), to("/a.B/C")).await.code, Code::Ok);
    }
    let text = lines.text();
    assert_eq!(text.matches("WARN tonic_retry_layer: a call waits").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_that_was_sent_is_retried_by_policy() {
    let config = with_policy("UNAVAILABLE", r#", "waitForReady": true"#);
    let acts = [refused(), Act::unavailable(), refused(), Act::unavailable(), Act::ok()];
    let server = Server::new(acts);
    assert_eq!(call(&server, &layer(&config), to("/a.B/C")).await.code, Code::Ok);
    let previous = server.header("grpc-previous-rpc-attempts");
    let previous: Vec<_> = previous.iter().map(Option::as_deref).collect();
    assert_eq!(previous, [None, None, Some("1"), Some("1"), Some("2")]);
}
