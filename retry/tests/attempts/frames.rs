//! What is retried over tonic's channel, when a server sends exactly these frames.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use tokio::time::Instant;
use tonic::Code;
use tonic_call::BoxChannel;
use tonic_call_test_kit::{Event, FrameServer, Received, Reply, Script, to};
use tonic_retry_layer::{Retries, RetryHook, Rpc, ServiceConfig};
use tower::{Layer as _, Service as _};

use crate::common::{layer, read};

/// The error codes of HTTP/2 (RFC 9113, "Error Codes").
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
const HTTP_1_1_REQUIRED: u32 = 13;

#[derive(Clone, Default)]
struct Last(Arc<Mutex<Option<Retries>>>);

impl RetryHook for Last {
    fn call(&self, _: &Rpc, retries: Retries) {
        *self.0.lock().unwrap() = Some(retries);
    }
}

/// Retries three times, almost at once, when a call is `UNAVAILABLE`.
fn policy() -> ServiceConfig {
    let json = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.001s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
    }}]}"#;
    ServiceConfig::from_json(json).unwrap()
}

struct Result {
    code: Code,
    messages: usize,
    /// The requests that have reached the server.
    requests: usize,
    retries: u32,
    transparent: u32,
}

/// One call of a server that reacts in this way. What is over must be so within 20 seconds.
async fn call(
    config: &ServiceConfig,
    react: impl Fn(&Received) -> Vec<Reply> + Send + Sync + 'static,
) -> Result {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let server = FrameServer::start(move |received: &Received| {
        counted.fetch_max(received.request, Ordering::SeqCst);
        react(received)
    });
    let server = server.await;
    let last = Last::default();
    let layer = layer(config).hook(last.clone());
    let mut channel = BoxChannel::new(layer.layer(server.endpoint().connect_lazy()));
    let request: Request<Script> = to("/a.B/C");
    let response = channel.call(request.map(tonic::body::Body::new));
    let call = async { read::<tonic::body::Body>(response.await, Instant::now()).await };
    let outcome = tokio::time::timeout(Duration::from_secs(20), call).await.expect("an end");
    let retries = last.0.lock().unwrap().unwrap();
    let requests = requests.load(Ordering::SeqCst);
    Result {
        code: outcome.code,
        messages: outcome.messages,
        requests,
        retries: retries.retries,
        transparent: retries.transparent_retries,
    }
}

fn answer(stream: u32) -> Vec<Reply> {
    vec![Reply::Head(stream), Reply::Message(stream, b"x"), Reply::Trailers(stream, Code::Ok)]
}

/// Fails the first requests in this way, when they have ended, and answers the others.
fn failing(times: usize, fail: impl Fn(u32) -> Vec<Reply>) -> impl Fn(&Received) -> Vec<Reply> {
    move |received| match received.event {
        Event::Data(stream, true) if received.request <= times => fail(stream),
        Event::Data(stream, true) => answer(stream),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once_without_a_policy() {
    let refuse = |stream| vec![Reply::Reset(stream, REFUSED_STREAM)];
    let none = ServiceConfig::default();
    let once = call(&none, failing(1, refuse)).await;
    assert_eq!((once.code, once.requests, once.transparent), (Code::Ok, 2, 1));
    let twice = call(&none, failing(2, refuse)).await;
    assert_eq!((twice.code, twice.requests, twice.transparent), (Code::Unavailable, 2, 1));
    // Then the policy decides, and has all its attempts.
    let more = call(&policy(), failing(4, refuse)).await;
    assert_eq!((more.code, more.requests), (Code::Ok, 5));
    assert_eq!((more.transparent, more.retries), (1, 3));
}

#[tokio::test]
async fn a_stream_above_the_last_one_of_a_goaway_is_sent_again_on_another_connection() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let refuse =
            move |stream: u32| vec![Reply::GoAway(stream.saturating_sub(2), reason), Reply::Close];
        let again = call(&ServiceConfig::default(), failing(1, refuse)).await;
        assert_eq!((again.code, again.requests, again.transparent), (Code::Ok, 2, 1), "{reason}");
    }
}

#[tokio::test]
async fn a_stream_up_to_the_last_one_of_a_goaway_goes_on_and_if_it_is_lost_the_policy_decides() {
    for above in [0, 2] {
        let goes_on = move |stream| {
            std::iter::once(Reply::GoAway(stream + above, NO_ERROR)).chain(answer(stream)).collect()
        };
        let one = call(&ServiceConfig::default(), failing(1, goes_on)).await;
        assert_eq!((one.code, one.requests, one.messages), (Code::Ok, 1, 1));

        let lost = move |stream| vec![Reply::GoAway(stream + above, NO_ERROR), Reply::Close];
        let none = call(&ServiceConfig::default(), failing(1, lost)).await;
        assert_eq!((none.code, none.requests), (Code::Unavailable, 1));
        let by_policy = call(&policy(), failing(1, lost)).await;
        assert_eq!((by_policy.code, by_policy.requests), (Code::Ok, 2));
        assert_eq!((by_policy.transparent, by_policy.retries), (0, 1));
    }
}

#[tokio::test]
async fn any_other_reset_is_retried_only_if_the_policy_names_its_code() {
    for reason in (NO_ERROR..=HTTP_1_1_REQUIRED).filter(|reason| *reason != REFUSED_STREAM) {
        let reset = move |stream| vec![Reply::Reset(stream, reason)];
        let once = call(&policy(), failing(1, reset)).await;
        assert_eq!((once.requests, once.transparent), (1, 0), "{reason} {:?}", once.code);
        assert_ne!(once.code, Code::Ok);
    }
    let json = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 2, "initialBackoff": "0.001s", "maxBackoff": "0.001s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]
    }}]}"#;
    let calm = |stream| vec![Reply::Reset(stream, ENHANCE_YOUR_CALM)];
    let named = call(&ServiceConfig::from_json(json).unwrap(), failing(1, calm)).await;
    assert_eq!((named.code, named.requests, named.retries), (Code::Ok, 2, 1));
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_head_of_a_response_is_retried() {
    let policy = policy();
    for point in 0..4 {
        let result = call(&policy, move |received| {
            let at = match received.event {
                Event::Accepted => 0,
                Event::Opened => 1,
                Event::Head(_) => 2,
                _ => 3,
            };
            match received.event {
                _ if received.connection == 0 && at == point => vec![Reply::Close],
                Event::Data(stream, true) => answer(stream),
                _ => Vec::new(),
            }
        });
        let result = result.await;
        assert_eq!((result.code, result.messages), (Code::Ok, 1), "{point}");
        assert_eq!(result.retries + result.transparent, 1, "{point}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_head_of_a_response_is_not() {
    for messages in [0, 1] {
        let cut = move |stream| {
            let sent = [Reply::Head(stream)].into_iter();
            let sent = sent.chain((0..messages).map(|_| Reply::Message(stream, b"x")));
            sent.chain([Reply::Close]).collect()
        };
        let result = call(&policy(), failing(1, cut)).await;
        assert_ne!(result.code, Code::Ok);
        assert_eq!((result.requests, result.retries, result.transparent), (1, 0, 0));
        assert_eq!(result.messages, messages);
    }
}

#[tokio::test]
async fn pushback_and_its_absence_are_read_from_the_head() {
    let refuse = |pushback: &'static str| {
        failing(1, move |stream| {
            let pushback = vec![("grpc-retry-pushback-ms", pushback.to_owned())];
            vec![Reply::TrailersOnly(stream, Code::Unavailable, pushback)]
        })
    };
    let again = call(&policy(), refuse("0")).await;
    assert_eq!((again.code, again.requests), (Code::Ok, 2));
    let stopped = call(&policy(), refuse("-1")).await;
    assert_eq!((stopped.code, stopped.requests), (Code::Unavailable, 1));
}
