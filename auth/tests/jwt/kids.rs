//! One address that sends tokens with unknown `kid`s, while it and others send valid tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::{Instant, advance};
use tonic_auth_layer::jwt::Jwt;
use tonic_auth_layer::{Authenticating, Outcome};

use crate::jwt_support::*;

const ATTACKER: &str = "192.0.2.1:1";
const ELSEWHERE: &str = "192.0.2.2:1";
const COOL_DOWN: Duration = Duration::from_secs(30);

/// A verifier with the key `a` and a limit of bad tokens per address, and the number of its fetches.
struct Verifier {
    jwt: Jwt,
    signer: Signer,
    fetches: Arc<AtomicUsize>,
    _file: NamedTempFile,
}

impl Verifier {
    async fn new(failures: u32) -> Self {
        let signer = Signer::ed();
        let keys = [signer.jwk("a")];
        Self::with(signer, &keys, failures).await
    }

    async fn with(signer: Signer, keys: &[Value], failures: u32) -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
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
        // The first fetch, at the start.
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

    /// Valid except that its `kid` is unknown.
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
    // So low that the address would be limited at once if unknown `kid`s in the cool-down counted.
    let verifier = Verifier::new(3).await;
    let remembered = verifier.good(usize::MAX);
    passes(verifier.ask(&remembered, ELSEWHERE).await);
    let begun = Instant::now();
    for n in 0..10_000 {
        invalid_by(verifier.ask(&verifier.forged(n), ATTACKER).await, "kid");
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
    assert_eq!(verifier.jwt.keys_status()[0].unknown_kids, 10_000);
}

#[tokio::test(start_paused = true)]
async fn keys_07_ten_thousand_random_kids_at_once_take_no_place_from_others() {
    let verifier = Verifier::new(60).await;
    let remembered = verifier.good(0);
    passes(verifier.ask(&remembered, ATTACKER).await);
    let (mut waiting, mut at_once) = (Vec::new(), 0);
    for n in 0..10_000 {
        match verifier.asked(&verifier.forged(n), ATTACKER) {
            Authenticating::Later(found) => waiting.push(found),
            Authenticating::Ready(outcome) => {
                invalid_by(outcome, "kid");
                at_once += 1;
            }
        }
    }
    // The address has 64 of the 1,024 places.
    assert_eq!((waiting.len(), at_once), (64, 9_936));
    let waits = verifier.asked(&verifier.forged(10_000), ELSEWHERE);
    let Authenticating::Later(elsewhere) = waits else { panic!("{waits:?}") };
    // While they wait, and after they were refused: other callers are not affected, even on the same address.
    for (n, meanwhile) in [true, false].into_iter().enumerate() {
        for (peer, new) in [(ATTACKER, 2 * n + 1), (ELSEWHERE, 2 * n + 2)] {
            assert!(is_cached(&verifier.ask(&remembered, peer).await));
            passes(verifier.ask(&verifier.good(new), peer).await);
        }
        assert_eq!(verifier.fetches(), usize::from(!meanwhile));
        for found in waiting.drain(..) {
            invalid_by(found.await, "kid");
        }
    }
    invalid_by(elsewhere.await, "kid");
    assert_eq!(verifier.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kid_is_shown_to_the_operator_and_its_length_is_bounded() {
    let verifier = Verifier::new(1).await;
    let long = format!("forged\n{}", "x".repeat(5_000));
    for (kid, shown) in [("forged", "forged"), (&*long, "forged\\nx")] {
        let refused =
            failure(verifier.ask(&verifier.signer.token_of(kid, json!({})), ELSEWHERE).await);
        assert_eq!(refused.check(), "kid");
        let received = refused.received_value().unwrap();
        assert!(
            received.starts_with(shown) && received.len() <= 128 + '…'.len_utf8(),
            "{received}"
        );
    }
}

/// Refused keys of a set verify nothing, and their tokens do not look like an outage.
#[tokio::test(start_paused = true)]
async fn a_kid_of_a_key_that_was_refused_is_an_unknown_one() {
    let [good, twice, again, for_encryption] =
        [Signer::ed(), Signer::ed(), Signer::ed(), Signer::p256()];
    let mut encrypts = for_encryption.jwk("enc");
    encrypts["use"] = "enc".into();
    let mut weak = shared_rsa().jwk("weak");
    weak["e"] = "AQ".into();
    let keys = [good.jwk("a"), twice.jwk("twice"), again.jwk("twice"), encrypts, weak];
    let verifier = Verifier::with(good, &keys, 1).await;
    for round in 0..3 {
        for (signer, kid) in
            [(&twice, "twice"), (&again, "twice"), (&for_encryption, "enc"), (shared_rsa(), "weak")]
        {
            let token = signer.token_of(kid, json!({ "jti": round }));
            invalid_by(verifier.ask(&token, ATTACKER).await, "kid");
        }
    }
    assert_eq!(verifier.fetches(), 1);
    passes(verifier.ask(&verifier.good(0), ATTACKER).await);
}
