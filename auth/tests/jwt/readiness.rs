//! Readiness changes in both directions, and what `keys_status` contains.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::NamedTempFile;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;
use tonic_auth_layer::Reason;
use tonic_auth_layer::jwt::{FetchResult, Issuer, Jwt};

use crate::jwt_support::*;

const UNAVAILABLE: (Reason, &str) = (Reason::VerifierUnavailable, "keys");

fn hour() -> Duration {
    Duration::from_secs(3_600)
}

fn publish(path: &Path, keys: &[serde_json::Value]) {
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

/// An issuer with one key in a file, and that file.
fn issuer(name: &str, signer: &Signer) -> (Issuer, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    publish(file.path(), &[signer.jwk("a")]);
    (Jwt::jwks_file(name, file.path()).audience(AUDIENCE), file)
}

/// A verifier of these issuers, after its first fetches, and the results of its fetches.
async fn built(
    issuers: impl IntoIterator<Item = Issuer>,
) -> (Jwt, UnboundedReceiver<(FetchResult, u64)>) {
    let (told, mut results) = unbounded_channel();
    let mut builder = Jwt::builder().on_keys(move |event| {
        let _ = told.send((event.result, event.unknown_kids));
    });
    let mut count = 0;
    for issuer in issuers {
        builder = builder.issuer(issuer);
        count += 1;
    }
    let jwt = builder.build().unwrap();
    for _ in 0..count {
        assert_eq!(results.recv().await, Some((FetchResult::Ok, 0)));
    }
    (jwt, results)
}

/// Whether it is still pending.
async fn waits(future: impl Future) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = tokio::task::yield_now() => true,
    }
}

/// Guards against: a verifier that stays ready forever after it was ready once.
#[tokio::test(start_paused = true)]
async fn keys_that_are_withdrawn_make_it_unready_and_new_ones_ready_again() {
    let signer = Signer::ed();
    let (issuer, file) = issuer(ISSUER, &signer);
    let (jwt, _results) = built([issuer]).await;
    let mut readiness = jwt.readiness();
    assert!(readiness.is_ready() && jwt.is_ready());
    assert!(waits(readiness.changed()).await);
    passes(ask(&jwt, &signer.token_of("a", json!({}))));

    publish(file.path(), &[]);
    assert!(!readiness.changed().await);
    assert!(!readiness.is_ready() && !jwt.is_ready());
    assert_eq!(refusal(ask(&jwt, &signer.token_of("a", json!({})))), UNAVAILABLE);
    let status = &jwt.keys_status()[0];
    assert_eq!((status.keys, status.age), (0, None));
    assert!(waits(jwt.ready()).await);

    publish(file.path(), &[signer.jwk("a")]);
    assert!(readiness.changed().await);
    jwt.ready().await;
    passes(ask(&jwt, &signer.token_of("a", json!({}))));
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_too_old_make_it_unready_to_the_second() {
    let signer = Signer::ed();
    let (issuer, file) = issuer(ISSUER, &signer);
    let (jwt, _results) = built([issuer.stale_for(hour())]).await;
    let (mut readiness, begun) = (jwt.readiness(), Instant::now());
    // The issuer is unreachable: the file is not a key set.
    std::fs::write(file.path(), "<html>").unwrap();
    assert!(!readiness.changed().await);
    let took = begun.elapsed();
    assert!((hour()..hour() + Duration::from_secs(6)).contains(&took), "{took:?}");
    assert_eq!(refusal(ask(&jwt, &signer.token_of("a", json!({})))), UNAVAILABLE);
    let status = &jwt.keys_status()[0];
    assert!(status.keys == 0 && status.age >= Some(hour()), "{status:?}");
    assert!(status.failed_fetches >= 100, "{status:?}");

    publish(file.path(), &[signer.jwk("a")]);
    assert!(readiness.changed().await);
    assert_eq!(jwt.keys_status()[0].failed_fetches, 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_all_issuers_are() {
    let [one, other] = [Signer::ed(), Signer::ed()];
    let (first, first_file) = issuer("https://one.example", &one);
    let (second, second_file) = issuer("https://other.example", &other);
    let (jwt, mut results) = built([first, second]).await;
    let mut readiness = jwt.readiness();
    publish(first_file.path(), &[]);
    assert!(!readiness.changed().await);
    publish(second_file.path(), &[]);
    while jwt.keys_status().iter().any(|status| status.keys > 0) {
        results.recv().await.unwrap();
    }
    publish(first_file.path(), &[one.jwk("a")]);
    while jwt.keys_status()[0].keys == 0 {
        results.recv().await.unwrap();
    }
    assert!(!jwt.is_ready() && waits(readiness.changed()).await);
    assert!(waits(jwt.ready()).await);
    publish(second_file.path(), &[other.jwk("a")]);
    assert!(readiness.changed().await);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_given_are_always_there() {
    let jwt = by_secret();
    let mut readiness = jwt.readiness();
    assert!(readiness.is_ready() && jwt.keys_status().is_empty() && jwt.age_of_keys().is_none());
    assert!(jwt.refresh().await, "there is nothing to fetch");
    assert!(tokio::time::timeout(hour(), readiness.changed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_at_once_and_in_the_cool_down_at_its_end() {
    let [old, new] = [Signer::ed(), Signer::ed()];
    let (issuer, file) = issuer(ISSUER, &old);
    let (rarely, cool_down) = (hour(), Duration::from_secs(30));
    let (jwt, mut results) = built([issuer.refresh_every(rarely).cool_down(cool_down)]).await;
    assert_eq!(jwt.keys_status()[0].cool_down, None);
    publish(file.path(), &[new.jwk("new")]);
    let begun = Instant::now();
    assert!(jwt.refresh().await);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    passes(ask(&jwt, &new.token_of("new", json!({}))));
    let left = jwt.keys_status()[0].cool_down.unwrap();
    assert!(left > Duration::from_secs(29) && left <= cool_down, "{left:?}");

    // Any number of refreshes and unknown `kid`s causes one fetch.
    std::fs::write(file.path(), "<html>").unwrap();
    for n in 0..100 {
        assert!(waits(jwt.refresh()).await);
        invalid_by(ask(&jwt, &new.token_of(&format!("forged {n}"), json!({}))), "kid");
    }
    assert!(!jwt.refresh().await, "it was no set");
    let took = begun.elapsed();
    assert!(took >= cool_down && took < cool_down + Duration::from_secs(1), "{took:?}");
    let expected = [(FetchResult::Ok, 0), (FetchResult::Malformed, 100)];
    for fetch in expected {
        assert_eq!(results.recv().await, Some(fetch));
    }
    assert!(results.is_empty());
    assert_eq!(jwt.keys_status()[0].failed_fetches, 1);
    assert_eq!(jwt.keys_status()[0].unknown_kids, 100);
}
