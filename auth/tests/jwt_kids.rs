//! One address that sends tokens of keys which nobody has, among others that send good ones.
#![allow(clippy::unwrap_used)]

mod jwt_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::NamedTempFile;
use tokio::time::{Instant, advance};
use tonic_auth_layer::jwt::Jwt;
use tonic_auth_layer::{Authenticating, Outcome, Reason};

use self::jwt_support::*;

const ATTACKER: &str = "192.0.2.1:1";
const ELSEWHERE: &str = "192.0.2.2:1";
const COOL_DOWN: Duration = Duration::from_secs(30);
const LIMITED: (Reason, &str) = (Reason::RateLimited, "failures");
const UNAVAILABLE: (Reason, &str) = (Reason::VerifierUnavailable, "keys");

/// A verifier whose one key is `a`, which takes so many bad tokens of an address, and what it fetches.
struct Verifier {
    jwt: Jwt,
    signer: Signer,
    fetches: Arc<AtomicUsize>,
    _file: NamedTempFile,
}

impl Verifier {
    async fn new(failures: u32) -> Self {
        let (signer, file) = (Signer::ed(), NamedTempFile::new().unwrap());
        std::fs::write(file.path(), json!({ "keys": [signer.jwk("a")] }).to_string()).unwrap();
        let issuer = Jwt::jwks_file(ISSUER, file.path()).audience(AUDIENCE);
        let issuer = issuer.refresh_every(Duration::from_secs(86_400)).cool_down(COOL_DOWN);
        let jwt = Jwt::builder().issuer(issuer).failures_per_minute(failures);
        let (told, mut first) = tokio::sync::mpsc::unbounded_channel();
        let fetches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fetches);
        let jwt = jwt.on_keys(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = told.send(());
        });
        let jwt = jwt.build().unwrap();
        // That of its own, at the start.
        first.recv().await.unwrap();
        fetches.store(0, Ordering::SeqCst);
        Self { jwt, signer, fetches, _file: file }
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn asked(&self, token: &str, peer: &str) -> Authenticating {
        let parts = call(&[format!("Bearer {token}").as_bytes()], Some(peer));
        ask_parts(&self.jwt, &parts, at(NOW as f64))
    }

    async fn ask(&self, token: &str, peer: &str) -> Outcome {
        match self.asked(token, peer) {
            Authenticating::Ready(outcome) => outcome,
            Authenticating::Later(found) => found.await,
        }
    }

    /// Good in all but that nobody has such a key.
    fn forged(&self, n: usize) -> String {
        self.signer.token_of(&format!("random {n}"), json!({}))
    }

    fn good(&self, n: usize) -> String {
        self.signer.token_of("a", json!({ "jti": n }))
    }
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

#[tokio::test(start_paused = true)]
async fn keys_07_ten_thousand_random_kids_of_one_address_cost_it_and_others_nothing() {
    // So few that it would be limited at once, were it charged for what was answered in the cool-down.
    let verifier = Verifier::new(3).await;
    let remembered = verifier.good(usize::MAX);
    passes(verifier.ask(&remembered, ELSEWHERE).await);
    let (begun, mut unknown) = (Instant::now(), 0);
    for n in 0..10_000 {
        match refusal(verifier.ask(&verifier.forged(n), ATTACKER).await) {
            (Reason::TokenInvalid, "kid") => unknown += 1,
            refused => assert_eq!(refused, UNAVAILABLE, "{n}"),
        }
        if n % 100 == 99 {
            for (peer, new) in [(ATTACKER, 2 * n), (ELSEWHERE, 2 * n + 1)] {
                assert!(is_cached(&verifier.ask(&remembered, peer).await), "{n} {peer}");
                assert!(!is_cached(&verifier.ask(&verifier.good(new), peer).await));
                passes(verifier.ask(&verifier.good(new), peer).await);
            }
            advance(Duration::from_secs(1)).await;
        }
    }
    // At 0, 30, 60 and 90 s.
    let cool_downs = begun.elapsed().as_secs_f64() / COOL_DOWN.as_secs_f64();
    assert!((4..=cool_downs.ceil() as usize).contains(&verifier.fetches()), "{cool_downs}");
    assert_eq!(unknown, verifier.fetches(), "the issuer was asked for each, and nobody else's");
}

#[tokio::test(start_paused = true)]
async fn keys_07_ten_thousand_random_kids_at_once_take_no_place_from_others() {
    let verifier = Verifier::new(60).await;
    let remembered = verifier.good(0);
    passes(verifier.ask(&remembered, ATTACKER).await);
    let (mut waiting, mut limited) = (Vec::new(), 0);
    for n in 0..10_000 {
        match verifier.asked(&verifier.forged(n), ATTACKER) {
            Authenticating::Later(found) => waiting.push(found),
            Authenticating::Ready(outcome) => {
                assert_eq!(refusal(outcome), LIMITED);
                limited += 1;
            }
        }
    }
    // Of the 1,024 places it has 60.
    assert_eq!((waiting.len(), limited), (60, 9_940));
    let waits = verifier.asked(&verifier.forged(10_000), ELSEWHERE);
    let Authenticating::Later(elsewhere) = waits else { panic!("{waits:?}") };
    // While they wait, and when they were refused: what is remembered passes, and others are not affected.
    for meanwhile in [true, false] {
        assert!(is_cached(&verifier.ask(&remembered, ATTACKER).await));
        assert!(is_cached(&verifier.ask(&remembered, ELSEWHERE).await));
        passes(verifier.ask(&verifier.good(1 + usize::from(meanwhile)), ELSEWHERE).await);
        let new = verifier.ask(&verifier.good(3), ATTACKER).await;
        assert_eq!(refusal(new), LIMITED, "its own new ones do not");
        for found in waiting.drain(..) {
            invalid_by(found.await, "kid");
        }
    }
    invalid_by(elsewhere.await, "kid");
    assert_eq!(verifier.fetches(), 1);
    advance(Duration::from_secs(1)).await;
    passes(verifier.ask(&verifier.good(3), ATTACKER).await);
}
