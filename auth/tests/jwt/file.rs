//! Keys in a file that is written while the verifier reads it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tonic_auth_layer::jwt::{FetchResult, Jwt, JwtError};
use tonic_auth_layer::{Outcome, Reason};

use crate::jwt_support::*;

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A verifier that reads the file all the time, and the results of its fetches.
fn reading(path: &Path) -> (Jwt, UnboundedReceiver<(FetchResult, usize)>) {
    let (told, results) = unbounded_channel();
    let issuer = Jwt::jwks_file(ISSUER, path).audience(AUDIENCE);
    let jwt = Jwt::builder().issuer(issuer.refresh_every(Duration::from_millis(1)));
    let jwt = jwt.on_keys(move |event| {
        let _ = told.send((event.result, event.keys));
    });
    (jwt.build().unwrap(), results)
}

async fn until(
    results: &mut UnboundedReceiver<(FetchResult, usize)>,
    wanted: (FetchResult, usize),
) {
    while results.recv().await.unwrap() != wanted {}
}

#[test]
fn a_file_is_read_when_the_verifier_is_built_and_needs_no_runtime() {
    let signer = Signer::ed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(&[signer.jwk("a")])).unwrap();
    let jwt = Jwt::jwks_file(ISSUER, &path).audience(AUDIENCE).build().unwrap();
    assert!(jwt.is_ready());
    passes(ask(&jwt, &signer.token_of("a", json!({}))));
}

/// Opening a pipe without a writer blocks forever.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("keys.json");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&*pipe, folder.path()] {
        let built = Jwt::jwks_file(ISSUER, path).audience(AUDIENCE).build();
        assert!(built.unwrap_err().to_string().ends_with("not a file"));
    }
}

#[test]
fn a_file_that_is_not_there_or_has_no_keys_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let built = || Jwt::jwks_file(ISSUER, &path).audience(AUDIENCE).build();
    let told = |built: Result<Jwt, JwtError>| {
        let error = built.unwrap_err();
        assert!(matches!(&error, JwtError::File { path: named, .. } if *named == path));
        error.to_string()
    };
    assert!(told(built()).contains("keys.json: "));
    let secret = json!({ "kty": "oct", "k": encoded(SECRET) });
    let large = format!("{}{}", set(&[Signer::ed().jwk("a")]), " ".repeat(1_100_000));
    for text in [String::new(), "{}".to_owned(), set(&[]), set(&[secret]), large] {
        std::fs::write(&path, text).unwrap();
        told(built());
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_by_way_of_a_link_is_read_again() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let folder = tempfile::tempdir().unwrap();
    let [path, next] = ["keys.json", "next.json"].map(|name| folder.path().join(name));
    std::fs::write(&path, set(&[old.jwk("old")])).unwrap();
    let (jwt, mut results) = reading(&path);
    passes(ask(&jwt, &old.token_of("old", json!({}))));
    std::fs::write(&next, set(&[old.jwk("old"), new.jwk("new")])).unwrap();
    std::fs::rename(&next, &path).unwrap();
    until(&mut results, (FetchResult::Ok, 2)).await;
    passes(ask(&jwt, &old.token_of("old", json!({}))));
    passes(ask(&jwt, &new.token_of("new", json!({}))));
}

/// Guards against: a key of small order, with which signatures can be forged without a private key.
#[tokio::test]
async fn rule_16_what_anybody_can_sign_is_not_signed() {
    let good = Signer::ed();
    // The neutral point, as a key and as the `R` of a signature with `S` = 0, is valid for every message.
    let mut neutral = vec![0; 32];
    neutral[0] = 1;
    let weak = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "weak", "x": encoded(&neutral) });
    let header = json!({ "alg": "EdDSA", "kid": "weak" }).to_string();
    let [header, claims] = [header, claims(json!({})).to_string()];
    let signature = encoded(&[&neutral[..], &[0; 32]].concat());
    let forged =
        format!("{}.{}.{signature}", encoded(header.as_bytes()), encoded(claims.as_bytes()));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(&[good.jwk("good"), weak.clone()])).unwrap();
    let jwt = Jwt::jwks_file(ISSUER, &path).audience(AUDIENCE).build().unwrap();
    passes(ask(&jwt, &good.token_of("good", json!({}))));
    let asked = ask_and_wait(&jwt, &forged).await;
    assert!(matches!(asked, Outcome::Refused(_) | Outcome::Unavailable(_)), "{asked:?}");
    std::fs::write(&path, set(&[weak])).unwrap();
    let alone = Jwt::jwks_file(ISSUER, &path).audience(AUDIENCE).build();
    assert!(matches!(alone, Err(JwtError::File { .. })), "no key of it can be used");
}

#[tokio::test]
async fn a_file_that_is_emptied_as_it_should_be_withdraws_the_keys_that_were_in_it() {
    let signer = Signer::ed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(&[signer.jwk("a")])).unwrap();
    let (jwt, mut results) = reading(&path);
    passes(ask(&jwt, &signer.token_of("a", json!({}))));
    std::fs::write(&path, set(&[])).unwrap();
    until(&mut results, (FetchResult::Empty, 0)).await;
    let asked = ask(&jwt, &signer.token_of("a", json!({})));
    assert_eq!(refusal(asked), (Reason::VerifierUnavailable, "keys"));
    assert!(!jwt.is_ready());
}

#[tokio::test]
async fn a_file_that_breaks_leaves_the_keys_that_were_in_it() {
    let signer = Signer::ed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(&[signer.jwk("a")])).unwrap();
    let (jwt, mut results) = reading(&path);
    std::fs::write(&path, "{\"keys\":[").unwrap();
    // Not only for the first read.
    for _ in 0..3 {
        until(&mut results, (FetchResult::Malformed, 1)).await;
    }
    std::fs::remove_file(&path).unwrap();
    until(&mut results, (FetchResult::Unreachable, 1)).await;
    passes(ask(&jwt, &signer.token_of("a", json!({}))));
    std::fs::write(&path, set(&[signer.jwk("b")])).unwrap();
    until(&mut results, (FetchResult::Ok, 1)).await;
    passes(ask_and_wait(&jwt, &signer.token_of("b", json!({}))).await);
}

#[test]
fn times_that_are_none_or_too_long_can_t_be_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(&[Signer::ed().jwk("a")])).unwrap();
    let issuer = || Jwt::jwks_file(ISSUER, &path).audience(AUDIENCE);
    let (day, second) = (Duration::from_secs(24 * 60 * 60), Duration::from_secs(1));
    for time in [Duration::ZERO, day + second, Duration::MAX] {
        for (wrong, issuer) in [
            ("refresh_every", issuer().refresh_every(time)),
            ("fetch_timeout", issuer().fetch_timeout(time)),
            ("cool_down", issuer().cool_down(time)),
        ] {
            let built = issuer.build();
            let named =
                matches!(&built, Err(JwtError::Setting { setting, .. }) if *setting == wrong);
            assert!(named, "{wrong} {time:?} {built:?}");
        }
    }
    let nearly_none = issuer().refresh_every(Duration::from_nanos(1)).build();
    assert!(matches!(nearly_none, Err(JwtError::Setting { setting: "refresh_every", .. })));
    // Keys that become stale before the next fetch are usable only for a part of the time.
    for stale in [Duration::ZERO, second] {
        let built = issuer().refresh_every(2 * second).stale_for(stale).build();
        let named = matches!(&built, Err(JwtError::Setting { setting: "stale_for", .. }));
        assert!(named, "{stale:?} {built:?}");
    }
    let longest = issuer().refresh_every(day).fetch_timeout(day).cool_down(day);
    assert!(longest.stale_for(Duration::MAX).max_lifetime(Duration::MAX).build().is_ok());
}
