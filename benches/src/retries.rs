//! Retries that no call needs, and their alternative.

use http::{Request, Response};
use tonic::body::Body;
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::retry;

use crate::subject::Subject;

/// A policy for the service of the benches, or for another one.
fn policy(service: &str, more: &str) -> RetryLayer {
    let json = format!(
        r#"{{"methodConfig": [{{"name": [{{"service": "{service}"}}], "retryPolicy": {{
            "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
            "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]
        }}}}]{more}}}"#
    );
    RetryLayer::new(&ServiceConfig::from_json(&json).expect("a config"))
}

/// The subjects that could make more than one attempt.
pub(crate) fn retried() -> Vec<Subject> {
    let (ours, other) = (|| policy("test.v1.Kinds", ""), || policy("test.v1.Other", ""));
    let throttled =
        policy("test.v1.Kinds", r#", "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}"#);
    vec![
        Subject::new("retry, no policy", other()),
        Subject::new("retry, a policy", ours()),
        Subject::new("retry, policy and throttling", throttled),
        Subject::new("retry, policy and a deadline", ours()).with_timeout("1H"),
        Subject::new("tower retry", retry::RetryLayer::new(Never)),
    ]
}

/// A policy of tower that never retries. A request of tonic cannot be cloned, so it could not retry one either.
#[derive(Clone, Copy, Debug)]
struct Never;

impl<B, E> retry::Policy<Request<Body>, Response<B>, E> for Never {
    type Future = std::future::Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        _: &mut Result<Response<B>, E>,
    ) -> Option<Self::Future> {
        None
    }

    fn clone_request(&mut self, _: &Request<Body>) -> Option<Request<Body>> {
        None
    }
}
