use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request as HttpRequest, Response};
use tokio::time::Instant;
use tonic::Code::Unavailable;
use tonic::body::Body;
use tonic::{Request, Status};
use tonic_auth_layer::{BearerToken, CredentialsLayer};
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{ask, methods};
use tonic_deadline_layer::DeadlineLayer;
use tonic_logging_layer::LoggingLayer;
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::{Service, service_fn};

use crate::code;
use crate::finished::Finished;

/// Three attempts, one second apart.
const CONFIG: &str = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 3, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1,
    "retryableStatusCodes": ["UNAVAILABLE", "DEADLINE_EXCEEDED"]
}}]}"#;

fn retries() -> RetryLayer {
    let config = ServiceConfig::from_json(CONFIG).unwrap();
    RetryLayer::new(&config).with_random(|| 0.5)
}

/// A server that is away, and the attempts that it has seen.
fn away(
    attempts: &Arc<AtomicUsize>,
) -> impl Service<
    HttpRequest<Body>,
    Response = Response<Body>,
    Error = Status,
    Future: Future<Output = Result<Response<Body>, Status>> + Send,
> + Clone
+ Send
+ Sync
+ use<> {
    let attempts = Arc::clone(attempts);
    service_fn(move |_| {
        attempts.fetch_add(1, Ordering::SeqCst);
        async { Ok(Status::unavailable("away").into_http()) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_deadline_inside_retries_begins_anew_with_each_attempt() {
    let limit = Duration::from_millis(1_500);
    let deadlines = DeadlineLayer::client(limit).methods(&methods());
    let retries = retries();

    // There is no time for a third attempt: the caller gets the last failure at once.
    let (attempts, began) = (Arc::default(), Instant::now());
    let outside = channel![deadlines, retries => away(&attempts)];
    assert_eq!(code(&outside, Request::new(ask(Act::Unspecified, 0))).await, Unavailable);
    assert_eq!((attempts.load(Ordering::SeqCst), began.elapsed()), (2, Duration::from_secs(1)));

    let (attempts, began) = (Arc::default(), Instant::now());
    let inside = channel![retries, deadlines => away(&attempts)];
    assert_eq!(code(&inside, Request::new(ask(Act::Unspecified, 0))).await, Unavailable);
    assert_eq!((attempts.load(Ordering::SeqCst), began.elapsed()), (3, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_log_inside_retries_has_a_line_for_each_attempt() {
    let finished = Finished::default();
    let logging = finished.by(LoggingLayer::client());
    let retries = retries();

    let outside = channel![logging, retries => away(&Arc::default())];
    assert_eq!(code(&outside, Request::new(ask(Act::Unspecified, 0))).await, Unavailable);
    assert_eq!(finished.take(), [Unavailable]);

    let inside = channel![retries, logging => away(&Arc::default())];
    assert_eq!(code(&inside, Request::new(ask(Act::Unspecified, 0))).await, Unavailable);
    assert_eq!(finished.take(), [Unavailable; 3]);
}

#[tokio::test(start_paused = true)]
async fn credentials_outside_retries_send_one_token_in_all_attempts() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&tokens);
    let credentials = CredentialsLayer::bearer(move || {
        taken.fetch_add(1, Ordering::SeqCst);
        Ok(BearerToken::new("token")?)
    });
    let credentials = credentials.allow_unencrypted();
    let retries = retries();

    let inside = channel![retries, credentials => away(&Arc::default())];
    assert_eq!(code(&inside, Request::new(ask(Act::Unspecified, 0))).await, Unavailable);
    assert_eq!(tokens.swap(0, Ordering::SeqCst), 3);

    let outside = channel![credentials, retries => away(&Arc::default())];
    assert_eq!(code(&outside, Request::new(ask(Act::Unspecified, 0))).await, Unavailable);
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
}
