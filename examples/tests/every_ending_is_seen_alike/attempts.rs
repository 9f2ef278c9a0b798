//! What a client shows: retries, its own deadline, its own cancel, and credentials that it lacks.

use tonic::Code;
use tonic_auth_layer::{CredentialsLayer, NoToken};
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{Event, FrameServer, Received, Reply, ask};

use crate::calls_out::Client;
use crate::observed::{Layers, Log};
use crate::table::{Row, Section};
use crate::transport::NOTE;

const POLICY: &str = r#"{
    "methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "0.1s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
    }}]
}"#;
const THROTTLED: &str = r#"{
    "methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "0.1s",
        "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]
    }}],
    "retryThrottling": {"maxTokens": 1, "tokenRatio": 1}
}"#;
const TIMEOUT: &str = r#"{"methodConfig": [{"name": [{}], "timeout": "1s"}]}"#;

/// A server that fails the first attempts in this way, and answers the others.
async fn failing(
    times: usize,
    fail: impl Fn(u32) -> Vec<Reply> + Send + Sync + 'static,
) -> FrameServer {
    FrameServer::start(move |received: &Received| match received.event {
        Event::Data(stream, true) if received.request <= times => fail(stream),
        Event::Data(stream, true) => {
            vec![
                Reply::Head(stream),
                Reply::Message(stream, NOTE),
                Reply::Trailers(stream, Code::Ok),
            ]
        }
        _ => Vec::new(),
    })
    .await
}

fn refuses(code: Code, pushback: Option<&'static str>) -> impl Fn(u32) -> Vec<Reply> {
    move |stream| {
        let pushback = pushback.map(|value| ("grpc-retry-pushback-ms", value.to_owned()));
        vec![Reply::TrailersOnly(stream, code, pushback.into_iter().collect())]
    }
}

/// A caller that drops its call before the head, or after a message.
async fn dropped(log: &Log, layers: Layers, ending: &str, messages: u32) -> Row {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let server = FrameServer::start(move |received: &Received| match received.event {
        Event::Data(stream, true) => {
            _ = arrived.send(());
            match messages {
                0 => Vec::new(),
                _ => vec![Reply::Head(stream), Reply::Message(stream, NOTE)],
            }
        }
        _ => Vec::new(),
    });
    let server = server.await;
    let mut client = Client::of(log, layers, &server.endpoint(), "{}");
    let call = client.kinds.server_stream(ask(Act::Unspecified, 0));
    if messages == 0 {
        tokio::select! {
            answer = call => panic!("the server does not answer: {answer:?}"),
            _ = arrivals.recv() => {}
        }
    } else {
        let mut notes = call.await.unwrap().into_inner();
        notes.message().await.unwrap().unwrap();
    }
    client.row(ending, None).await
}

/// A server that never answers, and the client's own limit.
async fn too_late(log: &Log, layers: Layers, ending: &str) -> Row {
    let server = FrameServer::start(|_| Vec::new()).await;
    let client = Client::of(log, layers, &server.endpoint(), TIMEOUT);
    client.call(ending, MethodKind::Unary, ask(Act::Unspecified, 0)).await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let away = |pushback| refuses(Code::Unavailable, pushback);
    let mut rows = Vec::new();
    for (ending, config, server) in [
        ("two attempts fail, and the third one succeeds", POLICY, failing(2, away(None)).await),
        ("every attempt that the policy allows fails", POLICY, failing(9, away(None)).await),
        (
            "a code that the policy does not retry",
            POLICY,
            failing(9, refuses(Code::Internal, None)).await,
        ),
        ("the server asks for a retry after 20 ms", POLICY, failing(1, away(Some("20"))).await),
        ("the server forbids retries, by `-1`", POLICY, failing(9, away(Some("-1"))).await),
        ("retries are throttled", THROTTLED, failing(9, away(None)).await),
        (
            "a stream fails after its head: it is not retried",
            POLICY,
            failing(9, |stream| {
                vec![Reply::Head(stream), Reply::Trailers(stream, Code::Unavailable)]
            })
            .await,
        ),
        (
            "the server refuses the stream once: `REFUSED_STREAM`, without a policy",
            "{}",
            failing(1, |stream| vec![Reply::Reset(stream, 7)]).await,
        ),
    ] {
        let client = Client::of(log, layers, &server.endpoint(), config);
        rows.push(client.call(ending, MethodKind::ServerStream, ask(Act::Unspecified, 0)).await);
    }
    rows.push(too_late(log, layers, "the client's `timeout` passes before the head").await);
    rows.push(dropped(log, layers, "the caller drops its call before the head", 0).await);
    rows.push(dropped(log, layers, "the caller drops its stream after a message", 1).await);
    let server = failing(0, |_| Vec::new()).await;
    let none = CredentialsLayer::bearer(|| Err(NoToken::new("the file is away")));
    let none = none.allow_unencrypted();
    let client = Client::with(log, layers, &server.endpoint(), "{}", none);
    let ending = "there is no token to send";
    rows.push(client.call(ending, MethodKind::Unary, ask(Act::Unspecified, 0)).await);
    Section {
        title: "Retries, deadlines and cancels of a client",
        about: "Outside the retry layer, all attempts are one call. Here it has three attempts, if there is a policy.",
        rows,
    }
}
