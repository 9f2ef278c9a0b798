//! Which valid tokens are cached, and which invalid ones count against their sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tonic_auth_layer::jwt::{Algorithm, Jwt, JwtBuilder, JwtError, Key};
use tonic_auth_layer::{Outcome, Reason};

use crate::jwt_support::*;

const LIMITED: (Reason, &str) = (Reason::RateLimited, "failures");

fn hs256() -> Signer {
    Signer::secret(SECRET)
}

fn builder() -> JwtBuilder {
    let key = Key::secret(Algorithm::HS256, SECRET).unwrap();
    Jwt::builder().issuer(Jwt::keys(ISSUER, [key]).audience(AUDIENCE))
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

fn is_new(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: false, .. })
}

#[test]
fn the_second_time_a_token_is_remembered_and_tells_the_same() {
    each_by_secret(|jwt| {
        let token = hs256().token(json!({ "scope": "a b" }));
        let (first, second) = (ask(jwt, &token), ask(jwt, &token));
        assert!(is_new(&first) && is_cached(&second));
        let (first, second) = (passes(first), passes(second));
        assert_eq!(first.claims(), second.claims());
        assert_eq!(first.scopes().collect::<Vec<_>>(), second.scopes().collect::<Vec<_>>());
        // Clones of the verifier share the cache, and another token has another entry.
        assert!(is_cached(&ask(&jwt.clone(), &token)));
        assert!(is_new(&ask(jwt, &hs256().token(json!({ "scope": "a b c" })))));
    });
}

#[test]
fn keys_14_only_good_tokens_are_remembered() {
    each_by_secret(|jwt| {
        let forged = Signer::secret(&[7; 32]).token(json!({}));
        for _ in 0..3 {
            invalid_by(ask(jwt, &forged), "signature");
        }
        // The same token with another signature is another token.
        let good = hs256().token(json!({}));
        passes(ask(jwt, &good));
        let (message, _) = good.rsplit_once('.').unwrap();
        invalid_by(ask(jwt, &format!("{message}.{}", encoded(&[7; 32]))), "signature");
    });
}

#[test]
fn keys_14_a_remembered_token_expires() {
    each_by_secret(|jwt| {
        let token = hs256().token(json!({ "exp": NOW + 5 }));
        passes(ask(jwt, &token));
        let end = NOW as f64 + 65.0;
        assert!(is_cached(&ask_at(jwt, &token, end - 0.001)));
        assert_eq!(refusal(ask_at(jwt, &token, end)), (Reason::TokenExpired, "exp"));
        // It stays out of the cache if the clock goes back a little.
        assert!(is_new(&ask_at(jwt, &token, end - 1.0)));
    });
}

#[test]
fn keys_14_a_remembered_token_is_not_good_before_its_time() {
    each_by_secret(|jwt| {
        let token = hs256().token(json!({ "nbf": NOW }));
        passes(ask(jwt, &token));
        invalid_by(ask_at(jwt, &token, NOW as f64 - 61.0), "nbf");
    });
}

#[test]
fn keys_14_revocation_is_asked_for_each_call() {
    let revoked = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let jwt = builder().revoked({
        let (revoked, asked) = (Arc::clone(&revoked), Arc::clone(&asked));
        move |identity| {
            asked.fetch_add(1, Ordering::Relaxed);
            assert_eq!(identity.claims().unwrap()["jti"], "7");
            revoked.load(Ordering::Relaxed)
        }
    });
    let jwt = jwt.build().unwrap();
    let token = hs256().token(json!({ "jti": "7" }));
    passes(ask(&jwt, &token));
    assert!(is_cached(&ask(&jwt, &token)));
    revoked.store(true, Ordering::Relaxed);
    invalid_by(ask(&jwt, &token), "revoked");
    revoked.store(false, Ordering::Relaxed);
    assert!(is_cached(&ask(&jwt, &token)));
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    // Also for a token that is not cached.
    revoked.store(true, Ordering::Relaxed);
    invalid_by(ask(&jwt, &hs256().token(json!({ "jti": "7", "x": 1 }))), "revoked");
}

#[test]
fn a_cache_can_be_turned_off() {
    let jwt = builder().cache(0).build().unwrap();
    let token = hs256().token(json!({}));
    for _ in 0..3 {
        assert!(is_new(&ask(&jwt, &token)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_may_send_so_many_bad_tokens() {
    let jwt = builder().failures_per_minute(10).build().unwrap();
    let good = hs256().token(json!({}));
    let (here, there) = (Some("192.0.2.1:1"), Some("192.0.2.2:1"));
    passes(ask_from(&jwt, &good, here, NOW as f64));
    let mut forged = 0;
    let mut forge = |peer| {
        forged += 1;
        let forged = Signer::secret(&[7; 32]).token(json!({ "jti": forged }));
        refusal(ask_from(&jwt, &forged, peer, NOW as f64))
    };
    for _ in 0..10 {
        assert_eq!(forge(here), (Reason::TokenInvalid, "signature"));
    }
    for _ in 0..10 {
        assert_eq!(forge(here), LIMITED);
    }
    // Another port is the same caller, another address is not.
    assert_eq!(forge(Some("192.0.2.1:2")), LIMITED);
    assert_eq!(forge(there), (Reason::TokenInvalid, "signature"));
    // Cached tokens pass; new ones do not, and cheap checks still report their reason.
    assert!(is_cached(&ask_from(&jwt, &good, here, NOW as f64)));
    let new = hs256().token(json!({ "jti": "new" }));
    assert_eq!(refusal(ask_from(&jwt, &new, here, NOW as f64)), LIMITED);
    let other = hs256().token(json!({ "aud": "billing" }));
    assert_eq!(refusal(ask_from(&jwt, &other, here, NOW as f64)).1, "aud");
    passes(ask_from(&jwt, &new, there, NOW as f64));

    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(forge(here), (Reason::TokenInvalid, "signature"));
    assert_eq!(forge(here), LIMITED);
    tokio::time::advance(Duration::from_secs(6)).await;
    let newer = hs256().token(json!({ "jti": "newer" }));
    passes(ask_from(&jwt, &newer, here, NOW as f64));
}

/// Guards against: a client behind the same proxy whose invented `kid`s lock out the new tokens of all others.
#[tokio::test(start_paused = true)]
async fn what_only_costs_a_look_up_is_not_charged_to_the_address() {
    let signer = Signer::ed();
    let keys = [signer.key().with_id("a"), Signer::ed().key().with_id("b")];
    let issuer = Jwt::keys(ISSUER, keys).audience(AUDIENCE);
    let jwt = Jwt::builder().issuer(issuer).failures_per_minute(1).build().unwrap();
    let asked = |token: &str| ask_from(&jwt, token, Some("192.0.2.1:1"), NOW as f64);
    for n in 0..100 {
        let unknown = signer.token_of(&format!("unknown {n}"), json!({}));
        invalid_by(asked(&unknown), "kid");
        invalid_by(asked(&signer.token(json!({ "jti": n }))), "kid");
    }
    passes(asked(&signer.token_of("a", json!({}))));
    // A failed signature verification counts against the address.
    invalid_by(asked(&signer.token_of("b", json!({}))), "signature");
    assert_eq!(refusal(asked(&signer.token_of("a", json!({ "jti": "new" })))), LIMITED);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_limited_on_loopback_or_when_it_is_turned_off() {
    let forged = |n: u32| Signer::secret(&[7; 32]).token(json!({ "jti": n }));
    let limited = builder().failures_per_minute(1).build().unwrap();
    let unlimited = builder().any_failures().build().unwrap();
    for n in 0..200 {
        for peer in [Some("127.0.0.1:1"), Some("[::1]:1"), Some("[::ffff:127.0.0.1]:1"), None] {
            let refused = refusal(ask_from(&limited, &forged(n), peer, NOW as f64));
            assert_eq!(refused.1, "signature");
        }
        let refused = refusal(ask_from(&unlimited, &forged(n), Some("192.0.2.1:1"), NOW as f64));
        assert_eq!(refused.1, "signature");
    }
}

#[test]
fn a_limit_of_no_failures_at_all_is_an_error() {
    let error = builder().failures_per_minute(0).build().unwrap_err();
    assert!(matches!(error, JwtError::NoFailures), "{error}");
    for name in ["`failures_per_minute`", "`any_failures`"] {
        assert!(error.to_string().contains(name), "{error}");
    }
    // The last setting applies.
    assert!(builder().failures_per_minute(0).any_failures().build().is_ok());
    assert!(builder().any_failures().failures_per_minute(0).build().is_err());
}

#[test]
fn keys_12_a_remembered_token_dies_with_its_key_and_no_other_does() {
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
        let (of_old, of_kept) = (old.token_of("old", json!({})), kept.token_of("kept", json!({})));
        for token in [&of_old, &of_kept] {
            passes(ask(&jwt, token));
            assert!(is_cached(&ask(&jwt, token)));
        }
        // The same key with another `kid` is another key.
        write(&[old.jwk("renamed"), kept.jwk("kept"), Signer::ed().jwk("new")]);
        while fetched.recv().await != Some(3) {}
        invalid_by(ask_and_wait(&jwt, &of_old).await, "kid");
        assert!(is_cached(&ask(&jwt, &of_kept)));
    });
}
