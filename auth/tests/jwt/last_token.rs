//! A token that comes several times in a row is not hashed each time. It is still checked each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tonic_auth_layer::jwt::{Jwt, JwtBuilder};
use tonic_auth_layer::{Outcome, Reason};

use crate::jwt_support::*;

fn hs256() -> Signer {
    Signer::secret(SECRET)
}

fn builder() -> JwtBuilder {
    Jwt::builder().issuer(Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE))
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: false, .. })
}

/// Sends a token until it is the one that came last.
fn sent_often(jwt: &Jwt, token: &str) {
    assert!(is_new(&ask(jwt, token)));
    assert!((0..5).all(|_| is_cached(&ask(jwt, token))));
}

#[test]
fn it_expires() {
    let jwt = builder().build().unwrap();
    let token = hs256().token(json!({ "exp": NOW + 5 }));
    sent_often(&jwt, &token);
    let end = NOW as f64 + 65.0;
    assert!(is_cached(&ask_at(&jwt, &token, end - 0.001)));
    assert_eq!(refusal(ask_at(&jwt, &token, end)), (Reason::TokenExpired, "exp"));
    assert!(is_new(&ask_at(&jwt, &token, end - 1.0)));
}

#[test]
fn it_is_revoked() {
    let revoked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&revoked);
    let jwt = builder().revoked(move |_| asked.load(Ordering::Relaxed)).build().unwrap();
    let token = hs256().token(json!({}));
    sent_often(&jwt, &token);
    revoked.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        invalid_by(ask(&jwt, &token), "revoked");
    }
    revoked.store(false, Ordering::Relaxed);
    assert!(is_cached(&ask(&jwt, &token)));
}

#[test]
fn it_is_verified_again_when_another_thread_has_evicted_it() {
    let jwt = builder().cache(1).build().unwrap();
    let (token, other) = (hs256().token(json!({})), hs256().token(json!({ "jti": "other" })));
    sent_often(&jwt, &token);
    std::thread::scope(|threads| {
        threads.spawn(|| assert!(is_new(&ask(&jwt, &other))));
    });
    assert!(is_new(&ask(&jwt, &token)));
    assert!(is_cached(&ask(&jwt, &token)));
}

#[test]
fn another_verifier_on_the_same_thread_does_not_accept_it() {
    let (jwt, twin) = (builder().build().unwrap(), builder().build().unwrap());
    let issuer = Jwt::keys(ISSUER, [Signer::secret(&[7; 32]).key()]).audience(AUDIENCE);
    let stranger = Jwt::builder().issuer(issuer).build().unwrap();
    let uncached = builder().cache(0).build().unwrap();
    let token = hs256().token(json!({}));
    sent_often(&jwt, &token);
    for _ in 0..3 {
        invalid_by(ask(&stranger, &token), "signature");
        assert!(is_new(&ask(&uncached, &token)));
        assert!(is_cached(&ask(&jwt, &token)));
    }
    sent_often(&twin, &token);
}

#[test]
fn a_token_with_another_signature_or_other_claims_is_another_one() {
    let jwt = builder().build().unwrap();
    let token = hs256().token(json!({}));
    sent_often(&jwt, &token);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{message}.{first}{}", &signature[1..]);
    assert_eq!(forged.len(), token.len());
    let other = hs256().token(json!({ "sub": "somebody-else" }));
    let (message, _) = other.rsplit_once('.').unwrap();
    for _ in 0..3 {
        invalid_by(ask(&jwt, &forged), "signature");
        invalid_by(ask(&jwt, &format!("{message}.{signature}")), "signature");
        assert!(is_cached(&ask(&jwt, &token)));
    }
}

#[test]
fn it_dies_with_its_key() {
    let (old, kept) = (Signer::ed(), Signer::ed());
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |keys: &[Value]| {
        std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    };
    write(&[old.jwk("old"), kept.jwk("kept")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (told, mut fetched) = tokio::sync::mpsc::unbounded_channel();
        let issuer = Jwt::jwks_file(ISSUER, file.path()).audience(AUDIENCE);
        let issuer = issuer.refresh_every(Duration::from_millis(1));
        let jwt = Jwt::builder().issuer(issuer);
        let jwt = jwt.on_keys(move |event| told.send(event.keys).unwrap()).build().unwrap();
        let token = old.token_of("old", json!({}));
        sent_often(&jwt, &token);
        write(&[kept.jwk("kept")]);
        while fetched.recv().await != Some(1) {}
        invalid_by(ask_and_wait(&jwt, &token).await, "kid");
    });
}
