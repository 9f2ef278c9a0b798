//! Deadlines from gRPC's service config. Time is paused.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use tonic_call::ServiceConfig;
use tonic_call_test_kit::{KINDS, Lines, Script, run, to_kind, with};
use tonic_deadline_layer::DeadlineLayer;
use tower::{Layer as _, service_fn};

const CONFIG: &str = r#"{"methodConfig": [
    {"name": [{"service": "test.v1.Kinds"}], "timeout": "2s"},
    {"name": [{"service": "test.v1.Kinds", "method": "BidiStream"}]}
]}"#;

/// The status of a call that would last for ever, and how long it took; `None` if it did not end within a minute.
async fn call(request: Request<Script>) -> Option<(String, Duration)> {
    let config = ServiceConfig::from_json(CONFIG).unwrap();
    let hangs = service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Script>, Infallible>>()
    });
    let channel = DeadlineLayer::client(&config).layer(hangs);
    let began = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(60), run(channel, request)).await.ok()?;
    let status = ended.unwrap().headers()["grpc-status"].to_str().unwrap().to_owned();
    Some((status, began.elapsed()))
}

#[tokio::test(start_paused = true)]
async fn a_timeout_holds_for_all_kinds_of_methods_and_needs_no_descriptors() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let (bidi, others) = KINDS.split_last().unwrap();
    for kind in others {
        let (status, took) = call(to_kind(*kind)).await.unwrap();
        assert_eq!((status.as_str(), took.as_secs()), ("4", 2), "{kind:?}");
    }
    // It has an entry of its own, without a timeout.
    assert_eq!(call(to_kind(*bidi)).await, None);
    assert_eq!(lines.text(), "");
}

#[tokio::test(start_paused = true)]
async fn the_earlier_one_of_the_timeout_and_the_callers_deadline_counts() {
    for (timeout, seconds) in [("1S", 1), ("5S", 2)] {
        let request = with(to_kind(KINDS[0]), &[("grpc-timeout", timeout)]);
        assert_eq!(call(request).await.unwrap().1.as_secs(), seconds, "{timeout}");
    }
}
