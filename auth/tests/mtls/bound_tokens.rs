//! Tokens that are bound to a certificate (RFC 8705 §3). Each test is a rule.

use aws_lc_rs::digest;
use http::Extensions;
use serde_json::{Value, json};
use tonic_auth_layer::jwt::{Jwt, JwtBuilder, JwtError};
use tonic_auth_layer::mtls::MeshProxies;
use tonic_auth_layer::{
    Authenticate as _, Authenticating, Identity, Mtls, MtlsError, Outcome, Reason, all_of, any_of,
};
use tonic_call::TrustedProxies;

use crate::jwt_support::*;
use crate::mtls_support::{Ca, Certificate, connection, uri};

const XFCC: &str = "x-forwarded-client-cert";

fn hs256() -> Signer {
    Signer::secret(SECRET)
}

fn builder() -> JwtBuilder {
    Jwt::builder().issuer(Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE))
}

fn bound() -> Jwt {
    builder().certificate_bound().build().unwrap()
}

fn meshed() -> Jwt {
    let mesh = MeshProxies::xfcc().networks(TrustedProxies::new(["10.0.0.0/8"]).unwrap());
    builder().behind_mesh(mesh).build().unwrap()
}

fn sha256(certificate: &Certificate) -> Vec<u8> {
    digest::digest(&digest::SHA256, &certificate.der).as_ref().to_vec()
}

/// A token that is bound to a certificate.
fn token_of(certificate: &Certificate) -> String {
    token_with(&json!({ "x5t#S256": encoded(&sha256(certificate)) }))
}

fn token_with(cnf: &Value) -> String {
    hs256().token(json!({ "cnf": cnf }))
}

/// The `Hash` of a certificate, as Envoy writes it.
fn xfcc(certificate: &Certificate) -> String {
    let hash = sha256(certificate).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("By=spiffe://prod.example/me;Hash={hash};Subject=\"\"")
}

/// Certificates of two callers.
fn two() -> (Certificate, Certificate) {
    let ca = Ca::new("ca");
    (ca.named(&[uri("spiffe://prod.example/a")]), ca.named(&[uri("spiffe://prod.example/b")]))
}

fn ask_on(jwt: &Jwt, token: &str, on: &Extensions, header: Option<&str>) -> Outcome {
    let mut parts = call(&[format!("Bearer {token}").as_bytes()], None);
    parts.extensions.extend(on.clone());
    if let Some(header) = header {
        parts.headers.insert(XFCC, header.parse().unwrap());
    }
    match ask_parts(jwt, &parts, at(NOW as f64)) {
        Authenticating::Ready(outcome) => outcome,
        Authenticating::Later(_) => panic!("the keys are given"),
    }
}

/// The extensions of a call from that address.
fn from(peer: &str) -> Extensions {
    call(&[], Some(peer)).extensions
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

#[tokio::test]
async fn a_bound_token_needs_the_certificate_of_this_connection() {
    let (a, b) = two();
    let jwt = bound();
    passes(ask_on(&jwt, &token_of(&a), &connection(Some(&a)).await, None));
    let on_b = connection(Some(&b)).await;
    invalid_by(ask_on(&jwt, &token_of(&a), &on_b, None), "cnf");
    invalid_by(ask_on(&jwt, &token_of(&a), &connection(None).await, None), "cnf");
    invalid_by(ask_on(&jwt, &token_of(&a), &Extensions::new(), None), "cnf");
}

/// Guards against: a cached token that another caller replays.
#[tokio::test]
async fn a_token_replayed_under_another_certificate_is_refused_from_a_warm_cache() {
    let (a, b) = two();
    let (on_a, on_b) = (connection(Some(&a)).await, connection(Some(&b)).await);
    let jwt = bound();
    let token = token_of(&a);
    passes(ask_on(&jwt, &token, &on_a, None));
    assert!(is_cached(&ask_on(&jwt, &token, &on_a, None)), "the cache is warm");
    for _ in 0..2 {
        invalid_by(ask_on(&jwt, &token, &on_b, None), "cnf");
        invalid_by(ask_on(&jwt, &token, &connection(None).await, None), "cnf");
        invalid_by(ask_on(&jwt, &token, &Extensions::new(), None), "cnf");
        invalid_by(ask_on(&jwt, &token, &from("10.0.0.1:1"), Some(&xfcc(&a))), "cnf");
    }
    // The thief does not evict the token of its owner, who can also connect again.
    assert!(is_cached(&ask_on(&jwt, &token, &on_a, None)));
    assert!(is_cached(&ask_on(&jwt, &token, &connection(Some(&a)).await, None)));
}

#[tokio::test]
async fn a_trusted_proxy_states_the_hash_of_its_clients_certificate() {
    let (a, b) = two();
    let jwt = meshed();
    let proxy = from("10.0.0.1:1");
    let token = token_of(&a);
    passes(ask_on(&jwt, &token, &proxy, Some(&xfcc(&a))));
    assert!(is_cached(&ask_on(&jwt, &token, &proxy, Some(&xfcc(&a)))));
    for forged in [xfcc(&b), format!("{},{}", xfcc(&a), xfcc(&b)), "URI=x".to_owned()] {
        invalid_by(ask_on(&jwt, &token, &proxy, Some(&forged)), "cnf");
    }
    invalid_by(ask_on(&jwt, &token, &proxy, None), "cnf");
    let malformed = ask_on(&jwt, &token, &proxy, Some("Hash=00"));
    assert_eq!(refusal(malformed), (Reason::CredentialsMalformed, "xfcc"));
    // Anybody else.
    invalid_by(ask_on(&jwt, &token, &from("192.0.2.1:1"), Some(&xfcc(&a))), "cnf");
    invalid_by(ask_on(&jwt, &token, &connection(Some(&b)).await, Some(&xfcc(&a))), "cnf");
    passes(ask_on(&jwt, &token, &connection(Some(&a)).await, Some(&xfcc(&b))));
}

/// Guards against: a token that is bound to the proxy's own certificate, used by every caller behind it.
#[tokio::test]
async fn the_certificate_of_a_proxy_is_not_that_of_its_callers() {
    let gateway = Ca::new("ca").named(&[uri("spiffe://prod.example/gateway")]);
    let mesh = MeshProxies::xfcc().spiffe_id("spiffe://prod.example/gateway");
    let jwt = builder().behind_mesh(mesh).build().unwrap();
    let on = connection(Some(&gateway)).await;
    invalid_by(ask_on(&jwt, &token_of(&gateway), &on, None), "cnf");
    let (a, _) = two();
    passes(ask_on(&jwt, &token_of(&a), &on, Some(&xfcc(&a))));
}

#[tokio::test]
async fn a_token_that_is_bound_otherwise_is_refused_even_with_a_certificate() {
    let (a, _) = two();
    let on = connection(Some(&a)).await;
    let hash = encoded(&sha256(&a));
    for cnf in [
        json!({ "jkt": "x" }),
        json!({ "x5t#S256": hash, "jkt": "x" }),
        json!({ "x5t#S256": format!("{hash}=") }),
        json!({ "x5t#S256": &hash[1..] }),
        json!({ "x5t#S256": "" }),
        json!({ "x5t#S256": 7 }),
        json!({ "x5t#s256": hash }),
        json!({}),
        json!("x"),
    ] {
        invalid_by(ask_on(&bound(), &token_with(&cnf), &on, None), "cnf");
    }
    let mut all = claims(json!({}));
    all["cnf"] = Value::Null;
    let null = hs256().sign(&json!({ "alg": "HS256" }), &all);
    invalid_by(ask_on(&bound(), &null, &on, None), "cnf");
}

#[tokio::test]
async fn bound_tokens_are_refused_by_default_and_bearer_tokens_pass_as_before() {
    let (a, _) = two();
    let on = connection(Some(&a)).await;
    invalid_by(ask_on(&builder().build().unwrap(), &token_of(&a), &on, None), "cnf");
    let bearer = hs256().token(json!({}));
    passes(ask_on(&bound(), &bearer, &on, None));
    passes(ask_on(&bound(), &bearer, &Extensions::new(), None));
}

#[test]
fn a_forged_header_is_removed_only_by_a_verifier_with_a_mesh() {
    let (a, _) = two();
    for (jwt, peer, is_kept) in [
        (meshed(), "192.0.2.1:1", false),
        (meshed(), "10.0.0.1:1", true),
        (bound(), "192.0.2.1:1", true),
    ] {
        let mut parts = call(&[], Some(peer));
        parts.headers.insert(XFCC, xfcc(&a).parse().unwrap());
        jwt.remove_untrusted(&mut parts);
        assert_eq!(parts.headers.contains_key(XFCC), is_kept, "{peer}");
    }
}

#[test]
fn a_mesh_without_a_trusted_proxy_is_an_error() {
    let error = builder().behind_mesh(MeshProxies::xfcc()).build().unwrap_err();
    assert!(matches!(error, JwtError::Mesh(MtlsError::NoProxies)), "{error:?}");
}

#[tokio::test]
async fn a_token_and_a_certificate_are_required_together_or_either_is_enough() {
    let (a, b) = two();
    let mtls = || Mtls::builder().spiffe_id("spiffe://prod.example/a").build().unwrap();
    let ask = |both: &dyn tonic_auth_layer::Authenticate, on: &Extensions, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let values: Vec<_> = bearer.iter().map(String::as_bytes).collect();
        let mut parts = call(&values, None);
        parts.extensions.extend(on.clone());
        let rpc = tonic_call::Rpc::from_head(&parts);
        match both.authenticate(&tonic_auth_layer::Incoming::new(&parts, &rpc, at(NOW as f64))) {
            Authenticating::Ready(outcome) => outcome,
            Authenticating::Later(_) => panic!("the keys are given"),
        }
    };
    let (on_a, on_b) = (connection(Some(&a)).await, connection(Some(&b)).await);
    let none = connection(None).await;
    let (token, forged) = (token_of(&a), Signer::secret(&[7; 32]).token(json!({})));

    let all = all_of(bound()).and(mtls());
    let identity: Identity = passes(ask(&all, &on_a, Some(&token)));
    assert_eq!((identity.method(), identity.also()[0].method()), ("jwt", "mtls"));
    assert_eq!(identity.also()[0].subject(), Some("spiffe://prod.example/a"));
    assert_eq!(refusal(ask(&all, &on_a, None)), (Reason::CredentialsMissing, "all_of"));
    let bearer = hs256().token(json!({}));
    assert_eq!(refusal(ask(&all, &none, Some(&bearer))), (Reason::CredentialsMissing, "all_of"));
    assert_eq!(refusal(ask(&all, &on_b, Some(&bearer))), (Reason::AccessDenied, "spiffe_id"));

    let any = any_of(bound()).or(mtls());
    assert_eq!(passes(ask(&any, &none, Some(&bearer))).method(), "jwt");
    assert_eq!(passes(ask(&any, &on_a, None)).method(), "mtls");
    assert!(matches!(ask(&any, &none, None), Outcome::Absent));
    // A bad token is not skipped in favour of a good certificate.
    invalid_by(ask(&any, &on_a, Some(&forged)), "signature");
}
