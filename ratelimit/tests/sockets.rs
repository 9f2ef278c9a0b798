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

/// Serves with a layer; resets of calls that wait to be accepted are no reason to hang up.
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
async fn g02_a_refused_client_is_told_all_of_it() {
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
async fn g03_a_stream_is_refused_before_a_byte_of_it_comes() {
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
async fn g04_accepted_calls_tell_what_is_left_in_their_head_alone() {
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
    // A handler's refusal is an answer in the head alone, and tells it too.
    let fails = Ask { code: Code::NotFound.into(), ..ask(Act::Fail, 0) };
    let status = client.unary(fails).await.unwrap_err();
    assert_eq!(status.metadata().get("ratelimit").unwrap(), r#""10/s:peer";r=7;t=1"#);
}

#[tokio::test]
async fn g05_whoever_makes_one_call_after_the_other_needs_one_place() {
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

/// Waits until a limit of one has its place free: the server learns of a cancel when it learns of it.
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
async fn g06_a_call_that_is_cancelled_frees_its_place() {
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
            // Of a client's stream the handler counts twice.
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
async fn g07_a_stream_that_is_dropped_frees_its_place_and_one_that_is_not_read_holds_it() {
    let (layer, _) = built(InFlight::new(1));
    let (channel, service) = serve!(layer);
    let mut client = KindsClient::new(channel);
    // More than any window holds: the server stands still, and is not polled.
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
async fn g08_a_connection_that_breaks_frees_all_places_of_its_calls() {
    let (layer, _) = built(InFlight::new(3));
    let (incoming, endpoint) = listen();
    let service = KindsService::default();
    let server = Server::builder().layer(layer).add_service(KindsServer::new(service.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut client = KindsClient::new(endpoint.connect().await.unwrap());
    for _ in 0..5 {
        // A runtime of its own, which ends with all that it holds.
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
            // Nobody says goodbye to the streams.
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
async fn g09_a_panic_frees_its_place_with_recovery_outside_inside_or_nowhere() {
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
                // What one answer is dropped with waits for ever.
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
async fn g10_who_watches_outside_is_told_that_it_was_a_refusal() {
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
async fn g11_by_address_before_and_by_principal_behind_who_knows_it() {
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
    // Ann's third is refused behind; bob's third is the sixth from there.
    assert_eq!(codes, [true, true, false, true, true, false]);
}
