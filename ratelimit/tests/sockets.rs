//! Calls of all four kinds over a real socket. Each test is a rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::Hand;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request};
use tonic_call::{EndedBy, MethodKind, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, Recorder, ask, call, listen, method_of, silence_panics,
};
use tonic_ratelimit_layer::{InFlight, Key, Limits, Quota, RateLimitLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_types::StatusExt as _;
use tower::ServiceBuilder;

fn built(limits: impl Into<Limits>) -> (RateLimitLayer, Hand) {
    let hand = Hand::default();
    (RateLimitLayer::server(limits).with_clock(hand.clock()).build().unwrap(), hand)
}

/// Serves with a layer. Many resets of calls must not close the connection.
macro_rules! serve {
    ($layer:expr) => {{
        let (incoming, endpoint) = listen();
        let service = KindsService::default();
        let server = Server::builder()
            .http2_max_pending_accept_reset_streams(Some(10_000))
            .layer($layer)
            .add_service(KindsServer::new(service.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (endpoint.connect().await.unwrap(), service)
    }};
}

#[tokio::test]
async fn g01_every_kind_of_call_passes_within_its_quota_and_is_refused_beyond() {
    for kind in KINDS {
        let (layer, hand) = built(Quota::per_second(10).burst(2));
        let (channel, _) = serve!(layer);
        let mut client = KindsClient::new(channel);
        let notes = Ask { notes: 3, ..Ask::default() };
        for _ in 0..2 {
            let outcome = call(&mut client, kind, notes.clone(), &[]).await;
            assert_eq!(outcome.code, Code::Ok, "{}", method_of(kind));
        }
        for _ in 0..3 {
            let outcome = call(&mut client, kind, notes.clone(), &[]).await;
            let message = "too many calls, try again in 100 ms";
            assert_eq!(
                (outcome.notes, outcome.code, &*outcome.message),
                (0, Code::ResourceExhausted, message)
            );
        }
        hand.advance(Duration::from_millis(100));
        assert_eq!(call(&mut client, kind, notes, &[]).await.code, Code::Ok);
    }
}

#[tokio::test]
async fn g02_a_refused_client_gets_all_details() {
    let (layer, _) = built(Quota::every(Duration::from_millis(1_500)).by(Key::peer()));
    let (channel, _) = serve!(layer);
    let mut client = KindsClient::new(channel);
    client.unary(Ask::default()).await.unwrap();
    let status = client.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "RATE_LIMITED");
    let wait = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(wait, Some(Duration::from_millis(1_500)));
    let violations = status.get_details_quota_failure().unwrap().violations;
    assert_eq!(violations[0].quota_id, "1/1.5s:peer");
    for (name, value) in [
        ("grpc-retry-pushback-ms", "1500"),
        ("ratelimit", r#""1/1.5s:peer";r=0;t=2"#),
        ("ratelimit-policy", r#""1/1.5s:peer";q=1;w=2"#),
    ] {
        assert_eq!(status.metadata().get(name).unwrap(), value, "{name}");
    }
}

#[tokio::test]
async fn g03_a_stream_is_refused_before_its_first_byte() {
    let (layer, _) = built(Quota::per_hour(1));
    let (channel, service) = serve!(layer);
    let mut client = KindsClient::new(channel);
    client.unary(Ask::default()).await.unwrap();
    let nothing = || Request::new(tokio_stream::pending::<Ask>());
    for status in [
        client.client_stream(nothing()).await.unwrap_err(),
        client.bidi_stream(nothing()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    service.until_alive(0).await;
}

#[tokio::test]
async fn g04_accepted_calls_have_the_fields_only_in_the_head() {
    let hand = Hand::default();
    let builder = RateLimitLayer::server(Quota::per_second(10).by(Key::peer()));
    let layer = builder.with_clock(hand.clock()).fields_on_accepted().build().unwrap();
    let (channel, _) = serve!(layer);
    let mut client = KindsClient::new(channel);
    let response = client.unary(Ask::default()).await.unwrap();
    assert_eq!(response.metadata().get("ratelimit").unwrap(), r#""10/s:peer";r=9;t=1"#);
    let mut notes = client.server_stream(ask(Act::Unspecified, 2)).await.unwrap();
    assert_eq!(notes.metadata().get("ratelimit").unwrap(), r#""10/s:peer";r=8;t=1"#);
    while notes.get_mut().message().await.unwrap().is_some() {}
    let trailers = notes.get_mut().trailers().await.unwrap();
    assert!(trailers.is_none_or(|trailers| trailers.get("ratelimit").is_none()));
    // An error of the handler is a response without a body, and has these fields, too.
    let fails = Ask { code: Code::NotFound.into(), ..ask(Act::Fail, 0) };
    let status = client.unary(fails).await.unwrap_err();
    assert_eq!(status.metadata().get("ratelimit").unwrap(), r#""10/s:peer";r=7;t=1"#);
}

#[tokio::test]
async fn g05_a_caller_that_makes_one_call_after_the_other_needs_a_limit_of_one() {
    let (layer, _) = built(InFlight::new(1));
    let (channel, _) = serve!(layer);
    let mut client = KindsClient::new(channel);
    for round in 0..100 {
        for kind in KINDS {
            for act in [Act::Unspecified, Act::Fail] {
                let ask = Ask { code: Code::NotFound.into(), ..ask(act, 3) };
                let outcome = call(&mut client, kind, ask, &[]).await;
                let expected = if act == Act::Fail { Code::NotFound } else { Code::Ok };
                assert_eq!(outcome.code, expected, "{round} {}", method_of(kind));
            }
        }
    }
}

/// Waits until no call is in flight under a limit of one: the server notices a cancellation later.
async fn until_free(client: &mut KindsClient<Channel>) {
    for _ in 0..10_000 {
        match client.unary(Ask::default()).await {
            Ok(_) => return,
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
    }
    panic!("its place is never free");
}

#[tokio::test]
async fn g06_a_cancelled_call_is_not_in_flight() {
    let (layer, _) = built(InFlight::new(1));
    let (channel, service) = serve!(layer);
    let mut client = KindsClient::new(channel.clone());
    for kind in KINDS {
        for notes in [0, 5] {
            let mut hangs = KindsClient::new(channel.clone());
            let calling =
                tokio::spawn(
                    async move { call(&mut hangs, kind, ask(Act::Hang, notes), &[]).await },
                );
            // The handler counts a client stream twice.
            service.until_alive(if kind == MethodKind::ClientStream { 2 } else { 1 }).await;
            let full = client.unary(Ask::default()).await.unwrap_err();
            assert_eq!(full.code(), Code::Unavailable, "{}", method_of(kind));
            calling.abort();
            until_free(&mut client).await;
            service.until_alive(0).await;
        }
    }
}

#[tokio::test]
async fn g07_a_dropped_stream_is_not_in_flight_and_one_that_is_not_read_is() {
    let (layer, _) = built(InFlight::new(1));
    let (channel, service) = serve!(layer);
    let mut client = KindsClient::new(channel);
    // More than any window holds: the server stops sending, and is not polled.
    let flood = Ask { notes: u32::MAX, text: "x".repeat(10_000), ..Ask::default() };
    let notes = client.server_stream(flood).await.unwrap();
    service.until_alive(1).await;
    for _ in 0..20 {
        let full = client.unary(Ask::default()).await.unwrap_err();
        assert_eq!(full.code(), Code::Unavailable);
    }
    drop(notes);
    until_free(&mut client).await;
}

#[tokio::test]
async fn g08_the_calls_of_a_broken_connection_are_not_in_flight() {
    let (layer, _) = built(InFlight::new(3));
    let (incoming, endpoint) = listen();
    let service = KindsService::default();
    let server = Server::builder().layer(layer).add_service(KindsServer::new(service.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut client = KindsClient::new(endpoint.connect().await.unwrap());
    for _ in 0..5 {
        // A separate runtime, which drops all its tasks when it ends.
        let endpoint = endpoint.clone();
        let (held, holds) = tokio::sync::oneshot::channel();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let streams = runtime.block_on(async {
                let mut client = KindsClient::new(endpoint.connect().await.unwrap());
                let mut streams = Vec::new();
                for _ in 0..3 {
                    streams.push(client.server_stream(ask(Act::Hang, 1)).await.unwrap());
                }
                streams
            });
            held.send(()).unwrap();
            left.recv().unwrap();
            // The streams are not reset.
            runtime.shutdown_background();
            drop(streams);
        });
        holds.await.unwrap();
        service.until_alive(3).await;
        assert_eq!(client.unary(Ask::default()).await.unwrap_err().code(), Code::Unavailable);
        leave.send(()).unwrap();
        service.until_alive(0).await;
        until_free(&mut client).await;
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn g09_after_a_panic_a_call_is_not_in_flight_with_recovery_outside_inside_or_none() {
    silence_panics();
    let limit = || built(InFlight::new(1)).0;
    let recovery = RecoveryLayer::server;
    let outside = serve!(ServiceBuilder::new().layer(recovery()).layer(limit()).into_inner());
    let inside = serve!(ServiceBuilder::new().layer(limit()).layer(recovery()).into_inner());
    let nowhere = serve!(limit());
    for (recovers, (channel, service)) in [(true, outside), (true, inside), (false, nowhere)] {
        let mut client = KindsClient::new(channel);
        for kind in KINDS {
            for (act, notes) in
                [(Act::PanicInHandler, 0), (Act::Panic, 0), (Act::Panic, 3), (Act::PanicInDrop, 0)]
            {
                // In this case the drop blocks forever.
                if act == Act::PanicInDrop && (!recovers || kind.has_one_response()) {
                    continue;
                }
                let outcome = call(&mut client, kind, ask(act, notes), &[]).await;
                if recovers && act != Act::PanicInDrop {
                    assert_eq!(outcome.code, Code::Internal, "{} {act:?}", method_of(kind));
                }
                until_free(&mut client).await;
            }
        }
        service.until_alive(0).await;
    }
}

#[tokio::test]
async fn g10_an_observer_outside_sees_the_refusal() {
    let recorder = Recorder::new();
    let layers = ServiceBuilder::new()
        .layer(ObserveLayer::server(recorder.clone()))
        .layer(built(Quota::per_hour(1)).0);
    let (channel, _) = serve!(layers.into_inner());
    let mut client = KindsClient::new(channel);
    client.unary(Ask::default()).await.unwrap();
    call(&mut client, MethodKind::BidiStream, Ask::default(), &[]).await;
    let ended = recorder.until_ended(2).await;
    assert_eq!((ended[0].code, &ended[0].by), (Code::Ok, &EndedBy::Service));
    assert_eq!(ended[1].code, Code::ResourceExhausted);
    assert_eq!(ended[1].by, EndedBy::Refusal { by: "ratelimit" });
}

#[tokio::test]
async fn g11_by_address_outside_and_by_principal_inside_of_authentication() {
    #[allow(clippy::result_large_err)]
    fn knows(request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let who = request.metadata().get("x-who").and_then(|who| who.to_str().ok());
        if let (Some(info), Some(who)) = (tonic_call::CallInfo::of(request.extensions()), who) {
            info.set_principal(who);
        }
        Ok(request)
    }
    let per_caller = Quota::per_hour(2).by(Key::principal());
    let layers = ServiceBuilder::new()
        .layer(ObserveLayer::server(Recorder::new()))
        .layer(built(Quota::per_hour(5).by(Key::peer())).0)
        .layer(tonic::service::InterceptorLayer::new(knows))
        .layer(built(per_caller).0);
    let (channel, _) = serve!(layers.into_inner());
    let mut client = KindsClient::new(channel);
    let mut codes = Vec::new();
    for who in ["ann", "ann", "ann", "bob", "bob", "bob"] {
        let outcome = call(&mut client, MethodKind::Unary, Ask::default(), &[("x-who", who)]).await;
        codes.push(outcome.code == Code::Ok);
    }
    // Ann's third call is refused by principal; bob's third is the sixth of that address.
    assert_eq!(codes, [true, true, false, true, true, false]);
}
