//! A server never sees a message twice or out of order in one attempt, whatever fails when.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use proptest::prelude::*;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::BoxError;
use tonic_call_test_kit::{Script, to};
use tonic_retry_layer::RetryLayer;
use tower::{Layer as _, Service as _, service_fn};

use crate::common::{config, layer};

/// How an attempt fails: after this number of messages; and whether a task goes on to read its request.
#[derive(Clone, Copy, Debug)]
struct Failing {
    after: usize,
    lingers: bool,
}

/// The messages that one attempt has sent, and whether its request has ended.
#[derive(Clone, Debug, Default)]
struct Sent {
    messages: Vec<u8>,
    ended: bool,
}

/// Reads this number of messages more.
async fn read(
    body: &mut Body,
    sent: &Mutex<Vec<Sent>>,
    attempt: usize,
    count: usize,
    yields: bool,
) {
    for _ in 0..count {
        if yields {
            tokio::task::yield_now().await;
        }
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let data: Bytes = frame.into_data().unwrap();
                sent.lock().unwrap()[attempt].messages.push(data[5]);
            }
            Some(Err(_)) => return,
            None => return sent.lock().unwrap()[attempt].ended = true,
        }
    }
}

/// Calls a server whose attempts fail in this way, and after these succeed.
async fn call(
    layer: &RetryLayer,
    messages: u8,
    pauses: &[bool],
    failing: Vec<Failing>,
) -> (Code, Vec<Sent>) {
    let sent = Arc::new(Mutex::new(Vec::<Sent>::new()));
    let seen = Arc::clone(&sent);
    let server = service_fn(move |request: Request<Body>| {
        let mut all = seen.lock().unwrap();
        let attempt = all.len();
        all.push(Sent::default());
        let (seen, failing) = (Arc::clone(&seen), failing.get(attempt).copied());
        async move {
            let mut body = request.into_body();
            let Some(Failing { after, lingers }) = failing else {
                read(&mut body, &seen, attempt, usize::MAX, false).await;
                let response = Script::new().trailers(Code::Ok).respond();
                return Ok::<Response<Script>, BoxError>(response);
            };
            read(&mut body, &seen, attempt, after, false).await;
            if lingers {
                tokio::spawn(async move {
                    read(&mut body, &seen, attempt, usize::MAX, true).await;
                });
            }
            let status = Status::unavailable("on purpose").into_http::<()>();
            Ok(status.map(|()| Script::new().says_end()))
        }
    });
    let script = (0..messages).fold(Script::new(), |script, number| {
        let paused = pauses.get(usize::from(number)).copied().unwrap_or(false);
        let script = if paused { script.pending() } else { script };
        script.message(&[number])
    });
    let mut channel = layer.layer(server);
    let response = channel.call(to("/a.B/C").map(|_| script)).await.unwrap();
    let status = response.headers().get("grpc-status");
    let code = status.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    // What lingers has its chance to read too much.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let sent = sent.lock().unwrap().clone();
    (code, sent)
}

/// Whether each attempt has sent the first messages, in order and once.
fn are_prefixes(sent: &[Sent]) -> bool {
    sent.iter().all(|sent| sent.messages.iter().copied().eq(0..sent.messages.len() as u8))
}

fn failing() -> impl Strategy<Value = Failing> {
    (0..30_usize, any::<bool>()).prop_map(|(after, lingers)| Failing { after, lingers })
}

proptest! {
    #[test]
    fn every_attempt_reads_the_messages_in_order_and_the_last_one_reads_all(
        messages in 0..25_u8,
        pauses in prop::collection::vec(any::<bool>(), 25),
        failing in prop::collection::vec(failing(), 0..4),
        kept in prop_oneof![Just(usize::MAX), 0..40_usize],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        // A message has six bytes with its prefix.
        let bytes = kept.saturating_mul(6 + size_of::<Bytes>());
        let layer = layer(&config()).call_bytes(bytes);
        let call = call(&layer, messages, &pauses, failing.clone());
        let (code, sent) = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), call).await.expect("an end")
        });
        prop_assert!(are_prefixes(&sent), "{:?}", sent);
        let last = sent.last().unwrap();
        if code == Code::Ok {
            prop_assert_eq!(sent.len(), failing.len() + 1);
            prop_assert!(last.ended && last.messages.len() == usize::from(messages));
        } else {
            // It was not retried, because more was read than is kept.
            let read = sent.iter().map(|sent| sent.messages.len()).max().unwrap();
            prop_assert!(read > kept, "{} {}", read, kept);
        }
        prop_assert_eq!(layer.used_bytes(), 0);
    }
}

/// With threads, what lingers reads at the same time as the next attempt, and exceeds what is kept at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_that_read_at_the_same_time_lose_nothing() {
    let json = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.000001s", "maxBackoff": "0.000001s",
        "backoffMultiplier": 1, "retryableStatusCodes": [14]
    }}]}"#;
    let config = tonic_retry_layer::ServiceConfig::from_json(json).unwrap();
    for kept in [usize::MAX, 60, 20] {
        let layer = layer(&config).call_bytes(kept.saturating_mul(6 + size_of::<Bytes>()));
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..64 {
            let layer = layer.clone();
            calls.spawn(async move {
                let failing = (0..4).map(|attempt| attempt * 7 + number % 5);
                let failing = failing.map(|after| Failing { after, lingers: true });
                call(&layer, 200, &[true; 200], failing.collect()).await
            });
        }
        while let Some(ended) = calls.join_next().await {
            let (code, sent) = ended.unwrap();
            assert!(are_prefixes(&sent), "{sent:?}");
            let last = sent.last().unwrap();
            if code == Code::Ok {
                assert!(last.ended && last.messages.len() == 200, "{sent:?}");
                assert_eq!(sent.len(), 5);
            } else {
                assert!(kept < 200);
            }
        }
        assert_eq!(layer.used_bytes(), 0);
    }
}
