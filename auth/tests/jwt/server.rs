//! Keys from a server that rotates them, is slow, sends wrong answers, or is unreachable.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tonic_auth_layer::jwt::{FetchResult, Issuer, Jwt, JwtError};
use tonic_auth_layer::{Authenticating, Outcome, Reason};

use crate::jwt_support::*;
use crate::key_server::{Answer, KeyServer};

const UNAVAILABLE: (Reason, &str) = (Reason::VerifierUnavailable, "keys");

/// A verifier, and the results of its fetches.
fn told(issuer: Issuer) -> (Jwt, UnboundedReceiver<(FetchResult, usize)>) {
    let (told, results) = unbounded_channel();
    let jwt = Jwt::builder().issuer(issuer.audience(AUDIENCE));
    let jwt = jwt.on_keys(move |event| {
        let _ = told.send((event.result, event.keys));
    });
    (jwt.build().unwrap(), results)
}

/// A valid token of that server.
fn token(server: &KeyServer, signer: &Signer, kid: &str) -> String {
    signer.token_of(kid, json!({ "iss": server.issuer() }))
}

#[tokio::test]
async fn keys_are_found_by_discovery_and_by_their_url() {
    let signer = Signer::p256();
    let server = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    for issuer in [
        Jwt::discover(server.issuer()),
        Jwt::jwks_url(server.issuer(), server.keys()),
        Jwt::jwks_url(server.issuer(), format!("http://127.0.0.1:{}/keys", server.address.port())),
    ] {
        let (jwt, mut results) = told(issuer);
        assert!(!jwt.is_ready());
        jwt.ready().await;
        assert!(jwt.is_ready() && jwt.age_of_keys().is_some());
        assert_eq!(results.recv().await, Some((FetchResult::Ok, 1)));
        passes(ask(&jwt, &token(&server, &signer, "a")));
    }
    assert_eq!(server.requests("/.well-known/openid-configuration").len(), 1);
    assert_eq!(server.fetches(), 3);
    assert!(server.requests("/keys")[0].contains("user-agent: tonic-auth-layer/"));
}

#[tokio::test]
async fn keys_of_many_tenants_come_from_one_url_also_those_that_are_asked_for() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let template = "https://login.example/{tenantid}/v2.0";
    let of = |signer: &Signer, kid: &str, tenant: &str| {
        let iss = template.replace("{tenantid}", tenant);
        signer.token_of(kid, json!({ "iss": iss, "tid": tenant }))
    };
    let mut key = new.jwk("new");
    key["issuer"] = json!("https://login.example/one/v2.0");
    let server = KeyServer::start(Answer::Keys(vec![old.jwk("old")])).await;
    let (jwt, _results) =
        told(Jwt::jwks_url(template, server.keys()).tenants("tid", ["one", "two"]));
    jwt.ready().await;
    passes(ask(&jwt, &of(&old, "old", "two")));
    server.now(Answer::Keys(vec![old.jwk("old"), key]));
    invalid_by(ask_and_wait(&jwt, &of(&new, "new", "two")).await, "key_issuer");
    passes(ask(&jwt, &of(&new, "new", "one")));
    assert_eq!(server.fetches(), 2);
}

#[test]
fn who_only_asks_whether_it_is_ready_starts_the_fetching() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(KeyServer::start(Answer::Keys(vec![Signer::ed().jwk("a")])));
    // There is no runtime here.
    let (jwt, _results) = told(Jwt::jwks_url(server.issuer(), server.keys()));
    assert!(!jwt.is_ready());
    let ready = async {
        while !jwt.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(30);
    runtime.block_on(async { tokio::time::timeout(limit, ready).await }).unwrap();
}

/// A verifier with a limit of three bad tokens per address, and a function that sends it a token from one address.
async fn limited(issuer: Issuer) -> (Jwt, impl Fn(&str) -> Authenticating) {
    let jwt = Jwt::builder().issuer(issuer.audience(AUDIENCE)).failures_per_minute(3);
    let jwt = jwt.build().unwrap();
    jwt.ready().await;
    let asked = jwt.clone();
    (jwt, move |token: &str| {
        let parts = call(&[format!("Bearer {token}").as_bytes()], Some("192.0.2.1:1"));
        ask_parts(&asked, &parts, at(NOW as f64))
    })
}

async fn later(asked: Authenticating) -> Outcome {
    let Authenticating::Later(found) = asked else { panic!("it waits for nothing") };
    found.await
}

fn at_once(asked: Authenticating) -> Outcome {
    let Authenticating::Ready(outcome) = asked else { panic!("it waits") };
    outcome
}

#[tokio::test]
async fn keys_07_who_waits_for_keys_is_not_charged_and_takes_no_more_than_a_share_of_the_places() {
    let signer = Signer::ed();
    let server = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    let issuer = Jwt::jwks_url(server.issuer(), server.keys());
    let (_jwt, ask) = limited(issuer.fetch_timeout(Duration::from_millis(500))).await;
    server.now(Answer::Hang);
    let forged = token(&server, &Signer::ed(), "forged");
    let waiting: Vec<_> = (0..64).map(|_| ask(&forged)).collect();
    invalid_by(at_once(ask(&forged)), "kid");
    // Valid tokens from the same address pass.
    passes(at_once(ask(&token(&server, &signer, "a"))));
    for waiting in waiting {
        assert_eq!(refusal(later(waiting).await), UNAVAILABLE, "the issuer is away");
    }
    assert_eq!(refusal(at_once(ask(&forged))), UNAVAILABLE);
    passes(at_once(ask(&signer.token_of("a", json!({ "iss": server.issuer(), "jti": "new" })))));
}

#[tokio::test]
async fn keys_07_forged_names_neither_look_like_an_outage_nor_keep_a_new_key_out() {
    let [gone, old, new] = [Signer::ed(), Signer::ed(), Signer::ed()];
    let server = KeyServer::start(Answer::Keys(vec![gone.jwk("gone"), old.jwk("old")])).await;
    let issuer = Jwt::jwks_url(server.issuer(), server.keys());
    let (jwt, ask) = limited(issuer.cool_down(Duration::from_secs(2))).await;
    server.now(Answer::Keys(vec![old.jwk("old")]));
    let forged = later(ask(&token(&server, &Signer::ed(), "forged"))).await;
    invalid_by(forged, "kid");
    server.now(Answer::Keys(vec![old.jwk("old"), new.jwk("new")]));
    let begun = server.fetches();
    // In the cool-down the last set is used, and unknown `kid`s do not count against the address.
    for n in 0..50 {
        for (signer, kid) in [(&new, "new"), (&gone, "gone"), (&gone, &*format!("forged {n}"))] {
            let token = signer.token_of(kid, json!({ "iss": server.issuer(), "jti": n }));
            invalid_by(at_once(ask(&token)), "kid");
        }
    }
    let of_old = old.token_of("old", json!({ "iss": server.issuer(), "jti": "another" }));
    passes(at_once(ask(&of_old)));
    assert_eq!(server.fetches(), begun);
    assert!(jwt.keys_status()[0].cool_down.is_some());
    // The fetch starts without a call. The clock is not paused, because the server is a real one.
    let comes = async {
        while jwt.keys_status()[0].keys < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), comes).await.unwrap();
    for n in 0..20 {
        passes(at_once(ask(&new.token_of("new", json!({ "iss": server.issuer(), "jti": n })))));
    }
    assert_eq!(server.fetches(), begun + 1);
    assert_eq!(jwt.keys_status()[0].unknown_kids, 1 + 150);
}

#[tokio::test]
async fn the_token_of_the_bearer_file_goes_to_the_issuer_alone() {
    let signer = Signer::ed();
    let elsewhere = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    let server = KeyServer::start(Answer::Status(404)).await;
    server.point_to(&elsewhere.keys());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret").unwrap();
    let (jwt, _results) = told(Jwt::discover(server.issuer()).bearer_file(file.path()));
    jwt.ready().await;
    passes(ask(&jwt, &token(&server, &signer, "a")));
    let document = server.requests("/.well-known/openid-configuration");
    assert!(document[0].contains("authorization: Bearer secret"));
    let keys = elsewhere.requests("/keys");
    assert!(!keys.is_empty() && keys.iter().all(|head| !head.contains("authorization")));
}

#[tokio::test]
async fn building_waits_for_nobody_and_a_call_without_keys_neither() {
    let server = KeyServer::start(Answer::Hang).await;
    let signer = Signer::p256();
    let (jwt, _) = told(Jwt::jwks_url(server.issuer(), server.keys()));
    let asked = ask(&jwt, &token(&server, &signer, "a"));
    assert!(matches!(&asked, Outcome::Unavailable(_)));
    assert_eq!(refusal(asked), UNAVAILABLE);
    // Cheap checks still report their reason.
    assert_eq!(refusal(ask(&jwt, &signer.token(json!({})))).1, "iss");
}

#[tokio::test]
async fn keys_08_whatever_is_wrong_with_an_answer_no_key_is_taken_from_it() {
    let signer = Signer::p256();
    let elsewhere = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    let many = (0..101).map(|_| signer.jwk("a")).collect();
    let mib = 1_024 * 1_024;
    for (answer, result) in [
        (Answer::Status(500), FetchResult::Status),
        (Answer::Status(404), FetchResult::Status),
        (Answer::Status(204), FetchResult::Status),
        (Answer::Redirect(elsewhere.keys()), FetchResult::Status),
        (Answer::Bytes { bytes: 10 * mib, says_so: true }, FetchResult::TooLarge),
        (Answer::Bytes { bytes: 10 * mib, says_so: false }, FetchResult::TooLarge),
        (Answer::Bytes { bytes: mib, says_so: true }, FetchResult::Malformed),
        (Answer::Hang, FetchResult::Timeout),
        (Answer::Half, FetchResult::Unreachable),
        (Answer::Text("<html>".to_owned()), FetchResult::Malformed),
        (Answer::Text("{}".to_owned()), FetchResult::Malformed),
        (Answer::Keys(vec![]), FetchResult::Empty),
        (Answer::Keys(vec![json!({ "kty": "oct", "k": encoded(SECRET) })]), FetchResult::Empty),
        (Answer::Keys(many), FetchResult::Malformed),
    ] {
        let server = KeyServer::start(answer).await;
        let issuer = Jwt::jwks_url(server.issuer(), server.keys());
        let timeout = if result == FetchResult::Timeout { 50 } else { 5_000 };
        let (jwt, mut results) = told(issuer.fetch_timeout(Duration::from_millis(timeout)));
        assert_eq!(results.recv().await, Some((result, 0)));
        assert_eq!(refusal(ask(&jwt, &token(&server, &signer, "a"))), UNAVAILABLE);
        assert!(!jwt.is_ready());
    }
    assert_eq!(elsewhere.fetches(), 0, "a redirect is not followed");
}

#[tokio::test]
async fn keys_08_a_server_that_is_not_there_is_no_reason_to_let_anybody_pass() {
    let server = KeyServer::start(Answer::Hang).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/keys");
    let (jwt, mut results) = told(Jwt::jwks_url(server.issuer(), url));
    assert_eq!(results.recv().await, Some((FetchResult::Unreachable, 0)));
    assert_eq!(refusal(ask(&jwt, &token(&server, &Signer::p256(), "a"))), UNAVAILABLE);
}

#[tokio::test]
async fn keys_08_a_document_of_another_issuer_is_not_followed() {
    let signer = Signer::p256();
    let server = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    server.pretend_to_be("https://id.example");
    let (jwt, mut results) = told(Jwt::discover(server.issuer()));
    assert_eq!(results.recv().await, Some((FetchResult::WrongIssuer, 0)));
    assert_eq!(server.fetches(), 0);
    assert_eq!(refusal(ask(&jwt, &token(&server, &signer, "a"))), UNAVAILABLE);
}

#[tokio::test]
async fn keys_07_ten_thousand_random_kids_cause_one_fetch_and_good_tokens_pass() {
    let signer = Signer::ed();
    let server = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    let (jwt, _results) = told(Jwt::jwks_url(server.issuer(), server.keys()));
    jwt.ready().await;
    let begun = server.fetches();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..10_000 {
        let (jwt, forged) = (jwt.clone(), token(&server, &signer, &format!("random {n}")));
        let good = signer.token_of("a", json!({ "iss": server.issuer(), "jti": n }));
        calls.spawn(async move {
            invalid_by(ask_and_wait(&jwt, &forged).await, "kid");
            passes(ask(&jwt, &good));
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert_eq!(server.fetches() - begun, 1, "within one cool-down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_05_a_rotation_while_calls_run_loses_none() {
    let server = KeyServer::start(Answer::Keys(vec![])).await;
    let (old, new) = (Arc::new(Signer::ed()), Arc::new(Signer::ed()));
    server.now(Answer::Keys(vec![old.jwk("old")]));
    let (jwt, _results) = told(Jwt::jwks_url(server.issuer(), server.keys()));
    jwt.ready().await;
    let signing = Arc::new(Mutex::new((Arc::clone(&old), "old")));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let (jwt, server, signing) = (jwt.clone(), server.clone(), Arc::clone(&signing));
        let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let (signer, kid) = signing.lock().unwrap().clone();
                let jti = count.fetch_add(1, Ordering::Relaxed);
                let claims = json!({ "iss": server.issuer(), "jti": format!("{caller} {jti}") });
                passes(ask_and_wait(&jwt, &signer.token_of(kid, claims)).await);
                tokio::task::yield_now().await;
            }
        });
    }
    let more = |than: usize| {
        let count = Arc::clone(&count);
        async move {
            while count.load(Ordering::Relaxed) < than {
                tokio::task::yield_now().await;
            }
        }
    };
    more(500).await;
    // The new key is published and signs at once: the verifier does not have it yet.
    server.now(Answer::Keys(vec![old.jwk("old"), new.jwk("new")]));
    *signing.lock().unwrap() = (Arc::clone(&new), "new");
    more(count.load(Ordering::Relaxed) + 1_000).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    passes(ask(&jwt, &token(&server, &old, "old")));
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn keys_12_a_key_that_is_dropped_takes_its_remembered_tokens_along() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let server = KeyServer::start(Answer::Keys(vec![old.jwk("old"), new.jwk("new")])).await;
    let (jwt, mut results) = told(Jwt::jwks_url(server.issuer(), server.keys()));
    jwt.ready().await;
    let (of_old, of_new) = (token(&server, &old, "old"), token(&server, &new, "new"));
    for token in [&of_old, &of_new, &of_old, &of_new] {
        passes(ask(&jwt, token));
    }
    server.now(Answer::Keys(vec![new.jwk("new")]));
    invalid_by(ask_and_wait(&jwt, &token(&server, &old, "unknown")).await, "kid");
    assert_eq!(results.recv().await, Some((FetchResult::Ok, 2)));
    assert_eq!(results.recv().await, Some((FetchResult::Ok, 1)));
    invalid_by(ask_and_wait(&jwt, &of_old).await, "kid");
    assert!(matches!(ask(&jwt, &of_new), Outcome::Identified { cached: true, .. }));
}

#[tokio::test]
async fn keys_05_a_token_that_expires_while_its_key_is_fetched_is_not_taken() {
    let signer = Signer::ed();
    let server = KeyServer::start(Answer::Keys(vec![Signer::ed().jwk("other")])).await;
    let issuer = Jwt::jwks_url(server.issuer(), server.keys()).leeway(Duration::ZERO);
    let (jwt, _results) = told(issuer);
    jwt.ready().await;
    server.now(Answer::Keys(vec![signer.jwk("a")]));
    // A microsecond before its expiry, which is shorter than any fetch.
    let expires = json!({ "iss": server.issuer(), "exp": NOW as f64 + 0.000_001 });
    let outcome = ask_and_wait(&jwt, &signer.token_of("a", expires)).await;
    assert_eq!(refusal(outcome), (Reason::TokenExpired, "exp"));
    passes(ask(&jwt, &token(&server, &signer, "a")));
}

#[tokio::test]
async fn the_token_of_the_bearer_file_is_sent_as_it_is_then() {
    let signer = Signer::ed();
    let server = KeyServer::start(Answer::Keys(vec![signer.jwk("a")])).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let (jwt, _results) = told(Jwt::discover(server.issuer()).bearer_file(file.path()));
    jwt.ready().await;
    let sent = |path: &str| {
        let head = server.requests(path).pop().unwrap();
        let line = head.lines().find(|line| line.starts_with("authorization:")).unwrap();
        line.to_owned()
    };
    assert_eq!(sent("/keys"), "authorization: Bearer first");
    assert_eq!(sent("/.well-known/openid-configuration"), "authorization: Bearer first");
    std::fs::write(file.path(), "second").unwrap();
    invalid_by(ask_and_wait(&jwt, &token(&server, &signer, "unknown")).await, "kid");
    assert_eq!(sent("/keys"), "authorization: Bearer second");
    assert!(!format!("{jwt:?}").contains("second"));
}

#[tokio::test]
async fn keys_08_over_tls_only_the_given_roots_are_trusted() {
    install_provider();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
        )
        .unwrap();
    let signer = Signer::ed();
    let keys = Answer::Keys(vec![signer.jwk("a")]);
    let server = KeyServer::with_tls(keys, TlsAcceptor::from(Arc::new(tls))).await;

    let (jwt, mut results) = told(Jwt::discover(server.issuer()).root_certificates(cert.pem()));
    assert_eq!(results.recv().await, Some((FetchResult::Ok, 1)));
    passes(ask(&jwt, &token(&server, &signer, "a")));

    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let (jwt, mut results) = told(Jwt::discover(server.issuer()).root_certificates(other));
    assert_eq!(results.recv().await, Some((FetchResult::Unreachable, 0)));
    assert_eq!(refusal(ask(&jwt, &token(&server, &signer, "a"))), UNAVAILABLE);
    // Another host name is refused as well, even if the certificate is trusted.
    let url = format!("https://127.0.0.1:{}/keys", server.address.port());
    let issuer = Jwt::jwks_url(server.issuer(), url).root_certificates(cert.pem());
    assert_eq!(told(issuer).1.recv().await, Some((FetchResult::Unreachable, 0)));
}

#[tokio::test]
async fn an_address_that_may_not_be_asked_can_t_be_built() {
    install_provider();
    let built = |issuer: Issuer| issuer.audience(AUDIENCE).build();
    for url in ["http://id.example/keys", "ftp://id.example/keys", "keys", ""] {
        let refused = built(Jwt::jwks_url(ISSUER, url));
        assert!(matches!(refused, Err(JwtError::Setting { setting: "jwks_url", .. })), "{url}");
    }
    let refused = built(Jwt::discover("http://id.example"));
    assert!(matches!(refused, Err(JwtError::Setting { setting: "discover", .. })));
    assert!(
        built(Jwt::discover("http://id.example").root_certificates(root()).allow_unencrypted())
            .is_ok()
    );
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let refused = built(Jwt::discover(ISSUER).root_certificates(pem));
        let setting = "root_certificates";
        assert!(
            matches!(refused, Err(JwtError::Setting { setting: s, .. }) if s == setting),
            "{pem}"
        );
    }
}

#[test]
fn kubernetes_has_its_certificate_where_it_mounts_it_unless_another_is_given() {
    install_provider();
    let issuer =
        || Jwt::discover("https://kubernetes.default.svc.cluster.local").audience(AUDIENCE);
    let error = issuer().kubernetes().build().unwrap_err().to_string();
    assert!(error.contains("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"), "{error}");
    assert!(issuer().kubernetes().root_certificates(root()).build().is_ok());
    assert!(issuer().root_certificates(root()).kubernetes().build().is_ok());
}

/// Enables TLS with any set of features; `jwt_tls.rs` tests those.
fn install_provider() {
    // Another test may have been first.
    let _ = default_provider().install_default();
}

fn root() -> String {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()
}
