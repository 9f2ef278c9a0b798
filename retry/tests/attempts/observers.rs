//! What observers, and the hook, see of attempts. Time is paused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status, TimeoutExpired};
use tonic_call::{CallInfo, EndedBy, ObserveLayer, Refusal, Rpc, Side, TraceIds};
use tonic_call_test_kit::{Ended, Recorder, Script, to, with};
use tonic_retry_layer::{
    Attempt, AttemptKind, AttemptOutcome, Final, Retries, RetryHook, RetryLayer, ServiceConfig,
};
use tower::{Service as _, ServiceBuilder};

use crate::common::{self, Act, Server, config, layer, read, with_policy};

/// Records what it is called with.
#[derive(Clone, Default)]
struct Reports {
    attempts: Arc<Mutex<Vec<(AttemptKind, AttemptOutcome)>>>,
    calls: Arc<Mutex<Vec<Retries>>>,
}

impl RetryHook for Reports {
    fn attempt(&self, rpc: &Rpc, Attempt { kind, outcome, .. }: Attempt) {
        assert_eq!(rpc.full(), "a.B/C");
        self.attempts.lock().unwrap().push((kind, outcome));
    }

    fn call(&self, _: &Rpc, retries: Retries) {
        self.calls.lock().unwrap().push(retries);
    }
}

impl Reports {
    fn attempts(&self) -> Vec<(AttemptKind, AttemptOutcome)> {
        self.attempts.lock().unwrap().clone()
    }

    fn only_call(&self) -> Retries {
        let calls = self.calls.lock().unwrap();
        assert_eq!(calls.len(), 1);
        calls[0]
    }
}

struct Observed {
    outside: Recorder,
    inside: Recorder,
    reports: Reports,
    outcome: common::Outcome,
}

async fn observe(server: &Server, layer: RetryLayer, request: http::Request<Script>) -> Observed {
    let (outside, inside, reports) = (Recorder::new(), Recorder::new(), Reports::default());
    let mut channel = ServiceBuilder::new()
        .layer(ObserveLayer::client(outside.clone()))
        .layer(layer.hook(reports.clone()))
        .layer(ObserveLayer::client(inside.clone()))
        .service(server.clone());
    let began = Instant::now();
    let outcome = read(channel.call(request).await, began).await;
    Observed { outside, inside, reports, outcome }
}

use AttemptKind::{First, Retry};
use AttemptOutcome::{Answered, Failed, Retried};

/// One token, so that the first failure stops the retries.
fn throttled() -> ServiceConfig {
    let json = r#"{
        "methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": 2, "initialBackoff": "0.1s", "maxBackoff": "0.1s",
            "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
        }}],
        "retryThrottling": {"maxTokens": 1, "tokenRatio": 1}
    }"#;
    ServiceConfig::from_json(json).unwrap()
}

#[tokio::test(start_paused = true)]
async fn outside_there_is_one_call_and_inside_there_are_its_attempts() {
    let server = Server::new([Act::unavailable(), Act::unavailable(), Act::ok()]);
    let seen = observe(&server, layer(&config()), to("/a.B/C")).await;
    let call = seen.outside.only();
    assert_eq!((call.code, call.ended, call.by), (Code::Ok, Ended::Status, EndedBy::Service));
    assert_eq!((call.heads, call.requests.len(), call.responses.len()), (1, 1, 1));
    assert_eq!(call.took, Duration::from_millis(300));
    let attempts = seen.inside.ended();
    let codes: Vec<_> = attempts.iter().map(|attempt| attempt.code).collect();
    assert_eq!(codes, [Code::Unavailable, Code::Unavailable, Code::Ok]);
    assert!(attempts.iter().all(|attempt| attempt.requests.len() == 1));

    let retried = Retried(Code::Unavailable);
    assert_eq!(seen.reports.attempts(), [(First, retried), (Retry, retried), (Retry, Answered)]);
    let call = seen.reports.only_call();
    assert_eq!((call.retries, call.transparent_retries), (2, 0));
    assert_eq!(call.retry_delay, Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_slot_of_its_own_that_knows_the_trace() {
    let server = Server::new([Act::unavailable(), Act::ok()]);
    let mut request = to("/a.B/C");
    let of_call = CallInfo::get_or_insert(Side::Client, request.extensions_mut());
    let trace = TraceIds::new(7, 8).unwrap();
    of_call.set_trace(trace);
    observe(&server, layer(&config()), request).await;
    let [first, last] = &server.infos()[..] else { panic!("two attempts") };
    assert_eq!((first.trace(), last.trace()), (Some(trace), Some(trace)));
    first.add_refusal(Refusal::new("ratelimit", "per_second"));
    assert_eq!((last.refusal(), of_call.refusal()), (None, None));
    last.add_refusal(Refusal::new("auth", "no_token"));
    assert_eq!(of_call.refusal().unwrap().by, "auth", "the attempt whose answer counts");
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_called_with_the_reason_why_there_was_no_other_attempt() {
    const PUSHBACK: &[(&str, &str)] = &[("grpc-retry-pushback-ms", "-1")];
    let refuse = |code, headers| Act::Refuse(code, headers);
    for (act, config, path, timeout, reason) in [
        (Act::unavailable(), config(), "/a.B/C", None, Final::AttemptsExhausted),
        (Act::unavailable(), config(), "/a.B/C", Some("50m"), Final::DeadlineTooClose),
        (refuse(Code::Internal, &[]), config(), "/a.B/C", None, Final::CodeNotRetryable),
        (refuse(Code::Unavailable, PUSHBACK), config(), "/a.B/C", None, Final::PushedBack),
        (Act::unavailable(), throttled(), "/a.B/C", None, Final::Throttled),
        (Act::unavailable(), ServiceConfig::default(), "/a.B/C", None, Final::NoPolicy),
        (
            Act::fail(|| Status::aborted("x").into()),
            with_policy("UNAVAILABLE", ""),
            "/a.B/C",
            None,
            Final::CodeNotRetryable,
        ),
    ] {
        let server = Server::new([act]);
        let attempts = if reason == Final::AttemptsExhausted { 1 } else { 5 };
        let mut request = to(path);
        if let Some(timeout) = timeout {
            request = with(request, &[("grpc-timeout", timeout)]);
        }
        let seen = observe(&server, layer(&config).max_attempts(attempts), request).await;
        let code = seen.outcome.code;
        assert_eq!(seen.reports.attempts(), [(First, Failed(code, reason))], "{reason:?}");
        assert_eq!(seen.reports.only_call(), Retries::default());
    }

    let server = Server::new([Act::unavailable()]);
    let small = layer(&config()).call_bytes(1);
    let seen = observe(&server, small, to("/a.B/C")).await;
    let exceeded = Failed(Code::Unavailable, Final::BufferExceeded);
    assert_eq!(seen.reports.attempts(), [(First, exceeded)]);

    let server = Server::new([Act::ok()]);
    let limited = layer(&with_policy("UNAVAILABLE", r#", "maxRequestMessageBytes": 0"#));
    let seen = observe(&server, limited, to("/a.B/C")).await;
    let failed = Failed(Code::ResourceExhausted, Final::RequestFailed);
    assert_eq!(seen.reports.attempts(), [(First, failed)]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_has_ended_the_call_and_its_attempt() {
    for act in [Act::Hang, Act::fail(|| TimeoutExpired(()).into())] {
        let server = Server::new([act]);
        let request = with(to("/a.B/C"), &[("grpc-timeout", "1S")]);
        let seen = observe(&server, layer(&config()), request).await;
        assert_eq!(seen.outcome.code, Code::DeadlineExceeded);
        for recorder in [seen.outside, seen.inside] {
            let call = recorder.only();
            assert_eq!((call.code, call.by), (Code::DeadlineExceeded, EndedBy::Deadline));
        }
        assert_eq!(seen.reports.attempts(), [(First, AttemptOutcome::Ended)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_layer_outside_is_the_exact_one() {
    let server = Server::new([Act::unavailable(), Act::Hang]);
    // What a deadline layer does; the header has eight digits.
    let mut request = with(to("/a.B/C"), &[("grpc-timeout", "900S")]);
    request.extensions_mut().insert(tonic_call::Deadline::after(Duration::from_secs(2)).unwrap());
    let seen = observe(&server, layer(&config()), request).await;
    assert_eq!((seen.outcome.code, seen.outcome.at), (Code::DeadlineExceeded, 2_000));
    let sent = [Some("2000000u".to_owned()), Some("1900000u".to_owned())];
    assert_eq!(server.header("grpc-timeout"), sent);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_ends_the_attempt_and_the_call_once() {
    let (inside, reports) = (Recorder::new(), Reports::default());
    let server = Server::new([Act::unavailable(), Act::Hang]);
    let mut channel = ServiceBuilder::new()
        .layer(layer(&config()).hook(reports.clone()))
        .layer(ObserveLayer::client(inside.clone()))
        .service(server);
    let call = channel.call(to("/a.B/C"));
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    let attempts = inside.ended();
    assert_eq!(attempts[1].ended, Ended::Dropped { responded: false });
    let ended = [(First, Retried(Code::Unavailable)), (Retry, AttemptOutcome::Ended)];
    assert_eq!(reports.attempts(), ended);
    assert_eq!(reports.only_call().retries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_does_no_harm() {
    struct Panics;
    impl RetryHook for Panics {
        fn attempt(&self, _: &Rpc, _: Attempt) {
            panic!("in a hook, on purpose");
        }
    }
    tonic_call_test_kit::silence_panics();
    let server = Server::new([Act::unavailable(), Act::ok()]);
    let outcome = common::call(&server, &layer(&config()).hook(Panics), to("/a.B/C")).await;
    assert_eq!((outcome.code, server.attempts()), (Code::Ok, 2));
}
