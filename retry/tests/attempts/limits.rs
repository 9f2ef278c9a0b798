//! Limits of messages and of the memory for requests. Time is paused.

use bytes::Bytes;
use http::Request;
use tokio::time::Instant;
use tonic::Code;
use tonic_call::BoxError;
use tonic_call_test_kit::{Script, frame_of, to};
use tonic_retry_layer::RetryLayer;
use tower::Service as _;

use crate::common::{Act, Server, call, config, layer, read, with_policy};

/// What a frame costs besides its data.
const FRAME: usize = size_of::<Bytes>();

fn request(script: Script) -> Request<Script> {
    to("/a.B/C").map(|_| script)
}

/// Sends frames of 100 bytes with their prefix.
fn hundreds(frames: usize) -> Request<Script> {
    request((0..frames).fold(Script::new(), |script, _| script.message(&[7; 95])))
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_longer_than_its_memory_is_sent_once() {
    for (frames, attempts) in [(2, 2), (3, 1)] {
        let server = Server::new([Act::unavailable(), Act::ok()]);
        let layer = layer(&config()).call_bytes(2 * (100 + FRAME));
        let outcome = call(&server, &layer, hundreds(frames)).await;
        assert_eq!(server.attempts(), attempts);
        assert_eq!(outcome.code == Code::Ok, attempts == 2);
        assert_eq!(server.frames()[attempts - 1].len(), frames, "nothing is lost");
        assert_eq!(layer.used_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_before_it_is_too_long_is_sent_again_from_its_beginning() {
    // The first attempt reads what fits, the second one the rest, and so is the last one.
    let server = Server::new([Act::unavailable().after(2), Act::unavailable(), Act::ok()]);
    let layer = layer(&config()).call_bytes(2 * (100 + FRAME));
    let outcome = call(&server, &layer, hundreds(5)).await;
    assert_eq!((outcome.code, server.attempts()), (Code::Unavailable, 2));
    let frames: Vec<_> = server.frames().iter().map(Vec::len).collect();
    assert_eq!(frames, [2, 5]);
}

#[tokio::test(start_paused = true)]
async fn all_calls_of_a_layer_share_its_memory() {
    let layer = layer(&config()).total_bytes(3 * (100 + FRAME));
    let hangs = Server::new([Act::Hang]);
    let mut channel = hangs.channel(&layer);
    let holds = tokio::spawn(channel.call(hundreds(2)));
    tokio::task::yield_now().await;
    assert_eq!(layer.used_bytes(), 2 * (100 + FRAME));

    for (frames, attempts) in [(1, 2), (2, 1)] {
        let server = Server::new([Act::unavailable(), Act::ok()]);
        call(&server, &layer.clone(), hundreds(frames)).await;
        assert_eq!(server.attempts(), attempts);
    }
    holds.abort();
    assert!(holds.await.is_err());
    assert_eq!(layer.used_bytes(), 0);
    let server = Server::new([Act::unavailable(), Act::ok()]);
    assert_eq!(call(&server, &layer, hundreds(3)).await.code, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_slow_streams_stay_within_the_memory_and_leave_none_behind() {
    const TOTAL: usize = 100_000;
    let layer = layer(&config()).call_bytes(1_000).total_bytes(TOTAL);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let layer = layer.clone();
        calls.spawn(async move {
            // Each attempt reads some, and hangs a while by way of the back-off.
            let server =
                Server::new([Act::unavailable().after(3), Act::unavailable().after(6), Act::ok()]);
            let script = (0..9).fold(Script::new(), |script, _| script.message(&[7; 95]).pending());
            let outcome = call(&server, &layer, request(script)).await;
            (outcome.code, server.frames().last().unwrap().len())
        });
    }
    let mut peak = 0;
    let mut codes = Vec::new();
    loop {
        tokio::select! {
            biased;
            ended = calls.join_next() => match ended {
                Some(ended) => codes.push(ended.unwrap()),
                None => break,
            },
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => {}
        }
        peak = peak.max(layer.used_bytes());
    }
    assert!((TOTAL * 9 / 10..=TOTAL).contains(&peak), "{peak}");
    assert_eq!(layer.used_bytes(), 0);
    // Those with memory succeed; the others fail with the status of their only attempt.
    let ok = codes.iter().filter(|code| **code == (Code::Ok, 9)).count();
    let failed = codes.iter().filter(|(code, _)| *code == Code::Unavailable).count();
    assert!(ok > 50 && ok + failed == 1_000, "{ok} {failed}");
}

#[tokio::test(start_paused = true)]
async fn a_committed_call_keeps_nothing() {
    let layer = layer(&config());
    let server = Server::new([Act::ok().after(2)]);
    let mut channel = server.channel(&layer);
    let response = channel.call(hundreds(2)).await.unwrap();
    assert_eq!(layer.used_bytes(), 0);
    drop(response);
}

fn limited(field: &str) -> RetryLayer {
    layer(&with_policy("UNAVAILABLE RESOURCE_EXHAUSTED", &format!(r#", "{field}": 10"#)))
}

#[tokio::test(start_paused = true)]
async fn a_request_message_over_the_limit_ends_the_call_and_is_not_retried() {
    let layer = limited("maxRequestMessageBytes");
    for (len, code, attempts) in [(10, Code::Ok, 1), (11, Code::ResourceExhausted, 1)] {
        let server = Server::new([Act::ok()]);
        let script = Script::new().message(&[7; 3]).message(&vec![7; len]).message(&[7; 3]);
        let outcome = call(&server, &layer, request(script)).await;
        assert_eq!((outcome.code, server.attempts()), (code, attempts), "{len}");
        if code == Code::ResourceExhausted {
            let text = "a request message of 11 bytes is longer than the limit of 10";
            assert_eq!(outcome.message, text);
            assert_eq!(server.frames(), [[frame_of(&[7; 3])]], "what came before it was sent");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_message_over_the_limit_ends_a_stream_whose_head_is_here() {
    let (bodies, mut body) = tokio::sync::mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: Request<tonic::body::Body>| {
        bodies.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(Script::new().messages(1).stall().respond()) }
    });
    let mut channel = tower::Layer::layer(&limited("maxRequestMessageBytes"), service);
    let response = channel.call(request(Script::new().message(&[7; 11]))).await;
    let mut body = body.recv().await.unwrap();
    let reading = tokio::spawn(read(response, Instant::now()));
    tokio::task::yield_now().await;
    let frame =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx));
    assert_eq!(frame.await.unwrap().unwrap_err().code(), Code::ResourceExhausted);
    let outcome = reading.await.unwrap();
    assert_eq!((outcome.code, outcome.messages), (Code::ResourceExhausted, 1));
}

#[tokio::test(start_paused = true)]
async fn a_response_message_over_the_limit_ends_the_call() {
    let layer = limited("maxResponseMessageBytes");
    for (len, code, messages) in [(10, Code::Ok, 2), (11, Code::ResourceExhausted, 1)] {
        let script = Script::new().message(&[7; 3]).message(&vec![7; len]).trailers(Code::Ok);
        let server = Server::new([Act::Respond(script)]);
        let outcome = call(&server, &layer, to("/a.B/C")).await;
        assert_eq!((outcome.code, outcome.messages), (code, messages), "{len}");
        assert_eq!(server.attempts(), 1);
    }
}
