//! `orders serve --issuer` with keys in a file or at a URL.

use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::issuer::{ISSUER, Issuer, KEY_ID};
use crate::common::process::{Ran, Served, get, orders, run};
use crate::common::soon;

/// A server that trusts this issuer.
async fn start(jwks: &str, more: &[&str]) -> Served {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--log", "json"];
    let believe = ["--issuer", ISSUER, "--audience", "orders", "--jwks", jwks];
    Served::spawn(orders(&[&serve[..], &believe, more].concat())).await
}

async fn list(served: &Served, token: &str) -> Ran {
    run(&["call", "--to", &served.url(), "--token", token, "list-orders"]).await
}

#[tokio::test]
async fn a_token_for_us_passes_and_one_for_others_does_not() {
    let issuer = Issuer::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, issuer.keys()).unwrap();
    let served = start(file.to_str().unwrap(), &["--metrics", "off"]).await;

    let (good, of_others) =
        (issuer.token("orders", "orders.read"), issuer.token("billing", "orders.read"));
    let of_another_key = Issuer::new().token("orders", "orders.read");
    assert_eq!(list(&served, &good).await.code, Some(0));
    for bad in [&of_others, &of_another_key] {
        let refused = list(&served, bad).await;
        assert_eq!(refused.code, Some(1));
        let told = "UNAUTHENTICATED: the credentials are not valid";
        assert!(refused.err.contains(told) && !refused.err.contains("billing"), "{refused:?}");
    }

    served.signal(Signal::INT);
    let (_, more, log) = served.ended().await;
    assert_eq!(more, "", "no development key, and no line about it");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let lines: Vec<_> = lines.filter(|line| line["message"] == "finished call").collect();
    let [passed, for_others, forged] = &lines[..] else { panic!("three calls: {log}") };
    assert_eq!(passed["enduser.id"], format!("{ISSUER}#ann"));
    assert_eq!(for_others["grpc.refused_reason"], "TOKEN_INVALID");
    assert_eq!(for_others["auth.check"], "aud");
    assert_eq!(for_others["auth.expected"], "orders");
    assert_eq!(for_others["auth.received"], "billing");
    assert_eq!(for_others["enduser.id"], Value::Null);
    assert_eq!(forged["auth.check"], "signature");
    for token in [&good, &of_others, &of_another_key] {
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!log.contains(signature) && !log.contains("eyJ"), "{log}");
    }
}

#[tokio::test]
async fn a_token_that_lives_too_long_is_refused_after_a_day_or_what_is_asked_for() {
    const HOUR: u64 = 3_600;
    let issuer = Issuer::new();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, issuer.keys()).unwrap();
    let never = 253_402_300_799 - HOUR * 24 * 365 * 200;
    for (more, good, bad) in [
        (&[][..], 23 * HOUR, &[25 * HOUR, never][..]),
        (&["--longest-token", "1h"], HOUR - 60, &[2 * HOUR]),
        (&["--longest-token", "48h"], 47 * HOUR, &[49 * HOUR]),
    ] {
        let metrics = [more, &["--metrics", "off"]].concat();
        let served = start(keys.to_str().unwrap(), &metrics).await;
        assert_eq!(list(&served, &issuer.token_for(good)).await.code, Some(0), "{more:?}");
        for &bad in bad {
            let refused = list(&served, &issuer.token_for(bad)).await;
            assert!(refused.err.contains("UNAUTHENTICATED"), "{more:?}: {refused:?}");
        }
        served.signal(Signal::INT);
        let (_, _, log) = served.ended().await;
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let refused: Vec<_> = lines.filter(|line| line["auth.check"] == "exp").collect();
        assert_eq!(refused.len(), bad.len(), "{log}");
        let expected = refused[0]["auth.expected"].as_str().unwrap();
        assert!(expected.starts_with("a lifetime of at most "), "{expected}");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_are_1_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("keys.json");
    std::fs::write(&empty, "{}").unwrap();
    for jwks in [empty.to_str().unwrap(), "nowhere.json", "http://id.example/keys"] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--metrics", "off", "--db", ":memory:"];
        let believe = ["--issuer", ISSUER, "--audience", "orders", "--jwks", jwks];
        let ran = run(&[&serve[..], &believe, &["--log", "off"]].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{jwks}: {ran:?}");
        assert!(ran.err.contains("cannot verify tokens") && ran.err.contains("--jwks"), "{ran:?}");
    }
}

#[tokio::test]
async fn until_the_keys_are_there_nobody_is_let_in_and_the_server_is_not_ready() {
    let issuer = Issuer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let mut served = start(&url, &["--metrics", "127.0.0.1:0"]).await;
    let metrics = served.metrics_address().await;
    let token = issuer.token("orders", "orders.read");
    let channel = Endpoint::from_shared(served.url()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let service = "orders.v1.OrderService".to_owned();
    let mut watch = health.watch(HealthCheckRequest { service }).await.unwrap().into_inner();
    let mut status = async || soon(watch.message()).await.unwrap().unwrap().status();

    assert_eq!(status().await, ServingStatus::NotServing);
    let refused = list(&served, &token).await;
    assert!(refused.err.contains("UNAVAILABLE"), "{refused:?}");

    let answer = Answer::new(Mutex::new(issuer.keys()));
    tokio::spawn(serve_keys(listener, answer));
    assert_eq!(status().await, ServingStatus::Serving);
    assert_eq!(list(&served, &token).await.code, Some(0));

    let (_, text) = get(&metrics, "/metrics").await;
    for sample in [
        "auth_jwks_fetches_total{result=\"ok\"} 1",
        "auth_decisions_total{result=\"VERIFIER_UNAVAILABLE\",cached=\"false\"} 1",
        "auth_decisions_total{result=\"passed\",cached=\"false\"} 1",
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
    let fetched =
        text.lines().find_map(|line| line.strip_prefix("auth_jwks_fetched_timestamp_seconds "));
    assert!(fetched.expect("there").parse::<f64>().unwrap() > 1.7e9, "{fetched:?}");
    assert!(!text.contains(ISSUER) && !text.contains(KEY_ID), "{text}");
}

/// Guards against: a service that reports healthy while it refuses every caller; and an outage of the issuer that
/// removes every pod.
#[tokio::test]
async fn withdrawn_keys_make_the_service_unready_until_there_are_some_again_and_not_the_server() {
    let issuer = Issuer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let answer = Answer::new(Mutex::new(issuer.keys()));
    tokio::spawn(serve_keys(listener, Arc::clone(&answer)));
    let mut served = start(&url, &["--metrics", "127.0.0.1:0"]).await;
    let metrics = served.metrics_address().await;
    let channel = Endpoint::from_shared(served.url()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let service = "orders.v1.OrderService".to_owned();
    let watch = health.watch(HealthCheckRequest { service }).await.unwrap();
    let mut statuses = watch.into_inner();
    let mut until = async |status| {
        while soon(statuses.message()).await.unwrap().unwrap().status() != status {}
    };
    let mut whole = async || {
        let answer = health.check(HealthCheckRequest::default()).await.unwrap();
        answer.into_inner().status()
    };
    let good = issuer.token("orders", "orders.read");
    let forged = issuer.token_by("forged", "ann", "orders", "orders.read");
    until(ServingStatus::Serving).await;
    // The server as a whole is serving last.
    soon(async { while whole().await != ServingStatus::Serving {} }).await;
    assert_eq!(list(&served, &good).await.code, Some(0));
    until_sample(&metrics, "auth_jwks_ready 1").await;
    until_sample(&metrics, "auth_jwks_keys 1").await;

    // An unknown `kid` makes the server fetch the keys, and there are none now.
    "{\"keys\": []}".clone_into(&mut answer.lock().unwrap());
    let refused = list(&served, &forged).await;
    assert!(refused.err.contains("UNAVAILABLE"), "{refused:?}");
    until(ServingStatus::NotServing).await;
    assert_eq!(whole().await, ServingStatus::Serving);
    let refused = list(&served, &good).await;
    assert!(refused.err.contains("UNAVAILABLE"), "{refused:?}");
    until_sample(&metrics, "auth_jwks_ready 0").await;
    until_sample(&metrics, "auth_jwks_keys 0").await;

    *answer.lock().unwrap() = issuer.keys();
    until(ServingStatus::Serving).await;
    assert_eq!(list(&served, &good).await.code, Some(0));
    until_sample(&metrics, "auth_jwks_ready 1").await;
    // The new set does not have this key: the token is invalid, and this is not an outage.
    let refused = list(&served, &forged).await;
    assert!(refused.err.contains("UNAUTHENTICATED"), "{refused:?}");
    until_sample(&metrics, "auth_jwks_unknown_kids_total 1").await;
    let (_, text) = get(&metrics, "/metrics").await;
    let cool_down = text.lines().find_map(|line| line.strip_prefix("auth_jwks_cool_down_seconds "));
    assert!(cool_down.expect("there").parse::<f64>().unwrap() <= 30.0, "{cool_down:?}");
    assert!(!text.contains("forged"), "{text}");

    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let unknown: Vec<_> = lines.filter(|line| line["auth.check"] == "kid").collect();
    let [unknown] = &unknown[..] else { panic!("one: {log}") };
    assert_eq!(unknown["auth.received"], "forged");
    assert!(log.contains("not ready: the issuer's keys were withdrawn"), "{log}");
}

/// Gauges are set once a second.
async fn until_sample(metrics: &str, sample: &str) {
    let shown =
        async { while !get(metrics, "/metrics").await.1.lines().any(|line| line == sample) {} };
    soon(shown).await;
}

/// The response of the issuer's server to every request.
type Answer = Arc<Mutex<String>>;

async fn serve_keys(listener: TcpListener, answer: Answer) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        _ = stream.read(&mut [0; 4096]).await;
        let text = answer.lock().unwrap().clone();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        _ = stream.write_all((head + &text).as_bytes()).await;
    }
}
