//! Too many failures stop the retries of all calls. Time is paused.

use tonic::{Code, Status};
use tonic_call_test_kit::{Script, to};
use tonic_retry_layer::{RetryLayer, ServiceConfig};

use crate::common::{Act, Server, call, layer};

/// Four tokens, of which a success returns a half.
fn throttled() -> RetryLayer {
    let json = r#"{
        "methodConfig": [{"name": [{"service": "a.B"}], "retryPolicy": {
            "maxAttempts": 2, "initialBackoff": "0.1s", "maxBackoff": "0.1s",
            "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
        }}],
        "retryThrottling": {"maxTokens": 4, "tokenRatio": 0.5}
    }"#;
    layer(&ServiceConfig::from_json(json).unwrap())
}

/// Whether a call that fails now is retried. It then succeeds, or else is not sent again. With three tokens or more
/// left the answer is yes.
async fn is_retried(layer: &RetryLayer) -> bool {
    let server = Server::new([Act::unavailable(), Act::ok()]);
    call(&server, layer, to("/a.B/C")).await;
    server.attempts() == 2
}

/// Costs one token.
async fn fail_once(layer: &RetryLayer) {
    let server = Server::new([Act::Refuse(Code::Unavailable, &[("grpc-retry-pushback-ms", "-1")])]);
    call(&server, layer, to("/a.B/C")).await;
    assert_eq!(server.attempts(), 1);
}

async fn succeed(layer: &RetryLayer, times: usize) {
    for _ in 0..times {
        let server = Server::new([Act::ok()]);
        assert_eq!(call(&server, layer, to("/other.Service/Method")).await.code, Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn at_half_of_the_tokens_the_retries_stop_and_successes_bring_them_back() {
    let layer = throttled();
    // 4 − 1 is more than half; the second attempt of the call fails too: 4 − 2 is not.
    let server = Server::new([Act::unavailable(), Act::unavailable()]);
    assert_eq!(call(&server, &layer, to("/a.B/C")).await.code, Code::Unavailable);
    assert_eq!(server.attempts(), 2);
    // 2 tokens: this failure leaves 1.
    assert!(!is_retried(&layer).await);
    // 1 + 4 × 0.5 − 1 = 2 is not more than half.
    succeed(&layer, 4).await;
    assert!(!is_retried(&layer).await);
    // 2 + 3 × 0.5 − 1 = 2.5 is more than half; the retry succeeds: 3.
    succeed(&layer, 3).await;
    assert!(is_retried(&layer).await);
    // 3 − 1 = 2.
    assert!(!is_retried(&layer).await);
}

#[tokio::test(start_paused = true)]
async fn the_tokens_never_exceed_their_maximum() {
    let layer = throttled();
    succeed(&layer, 100).await;
    fail_once(&layer).await;
    fail_once(&layer).await;
    assert!(!is_retried(&layer).await);
}

#[tokio::test(start_paused = true)]
async fn the_tokens_are_shared_by_clones_and_by_all_channels_of_a_layer() {
    let layer = throttled();
    let clone = layer.clone();
    fail_once(&layer).await;
    fail_once(&clone).await;
    assert!(!is_retried(&layer).await);
    assert!(is_retried(&throttled()).await, "another layer has its own");
}

#[tokio::test(start_paused = true)]
async fn only_failures_that_the_policy_would_retry_cost_a_token() {
    let layer = throttled();
    for (path, code) in [("/a.B/C", Code::Internal), ("/other.Service/Method", Code::Unavailable)] {
        for _ in 0..4 {
            let server = Server::new([Act::Refuse(code, &[])]);
            assert_eq!(call(&server, &layer, to(path)).await.code, code);
        }
    }
    assert!(is_retried(&layer).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_by_its_end() {
    let layer = throttled();
    for _ in 0..2 {
        for script in [
            Script::new().messages(1).trailers(Code::Unavailable),
            Script::new().messages(1).error(Status::unavailable("lost")),
            Script::new().messages(1).trailers(Code::Internal),
        ] {
            let server = Server::new([Act::Respond(script)]);
            call(&server, &layer, to("/a.B/C")).await;
            assert_eq!(server.attempts(), 1);
        }
    }
    // 4 − 4.
    succeed(&layer, 5).await;
    assert!(!is_retried(&layer).await, "2.5 − 1");
    succeed(&layer, 4).await;
    assert!(is_retried(&layer).await, "3.5 − 1");
}
