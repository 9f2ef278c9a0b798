//! A cached token in other conditions: from another address, for another method, in another combination, after its
//! revocation, in shadow mode. Each is checked again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tonic_auth_layer::jwt::{Jwt, JwtBuilder};
use tonic_auth_layer::{
    Access, ApiKeys, AuthBuilder, AuthLayer, Authenticate, Failure, Identity, Incoming, Outcome,
    Reason, WallClock, all_of, any_of, authenticate_fn,
};

use crate::common::{Called, UNARY, call_as, request, send};
use crate::jwt_support::*;

const STREAM: &str = "/test.v1.Kinds/ServerStream";
const API_KEY: &str = "2f1e6cb6a9f44dd2a1b95f47a0a7ce5d";

fn builder() -> JwtBuilder {
    let key = Signer::secret(SECRET).key();
    Jwt::builder().issuer(Jwt::keys(ISSUER, [key]).audience(AUDIENCE))
}

fn layer(authenticator: impl Authenticate) -> AuthBuilder {
    AuthLayer::new(authenticator).with_clock(WallClock::new(|| at(NOW as f64)))
}

/// A token that the verifier has cached.
fn remembered_by(jwt: &Jwt, claims: serde_json::Value) -> String {
    let token = Signer::secret(SECRET).token(claims);
    passes(ask(jwt, &token));
    assert!(is_cached(&ask(jwt, &token)));
    token
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

async fn call_from(layer: &AuthLayer, token: &str, peer: &str, api_key: Option<&str>) -> Called {
    let bearer = format!("Bearer {token}");
    let mut request = request(UNARY, &[("authorization", &bearer)]);
    if let Some(key) = api_key {
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
    }
    let remote_addr = Some(peer.parse().unwrap());
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    send(layer, request).await
}

/// The layer, and for each of its decisions whether it was reported as cached.
fn told(layer: AuthBuilder) -> (AuthLayer, Arc<Mutex<Vec<bool>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let layer = layer.on_decision(move |decision| hook.lock().unwrap().push(decision.is_cached()));
    (layer.build().unwrap(), told)
}

#[tokio::test]
async fn i01_from_another_address_what_depends_on_the_address_is_looked_at_again() {
    let at_home = authenticate_fn(|call: &Incoming<'_>| match call.peer() {
        Some(peer) if peer.to_string().starts_with("192.0.2.1:") => Ok(Identity::new("address")),
        _ => Err(Failure::new(Reason::TokenInvalid, "address")),
    });
    let jwt = builder().build().unwrap();
    let token = remembered_by(&jwt, json!({}));
    let layer = layer(all_of(jwt.clone()).and(at_home)).build().unwrap();
    for _ in 0..2 {
        call_from(&layer, &token, "192.0.2.1:1", None).await.passed();
        let elsewhere = call_from(&layer, &token, "192.0.2.2:1", None).await;
        elsewhere.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
        assert!(is_cached(&ask(&jwt, &token)));
    }
}

#[tokio::test]
async fn i02_each_layer_holds_it_to_rules_of_its_own_though_they_share_what_is_remembered() {
    let jwt = builder().build().unwrap();
    let token = remembered_by(&jwt, json!({ "scope": "orders.read" }));
    let public = layer(jwt.clone()).build().unwrap();
    let admin = layer(jwt.clone()).default_access(Access::scope("admin")).build().unwrap();
    let by_method = layer(jwt)
        .method("test.v1.Kinds", "Unary", Access::any_scope(["orders.read", "orders.write"]))
        .method("test.v1.Kinds", "ServerStream", Access::function("nobody", |_, _| false))
        .build()
        .unwrap();
    for _ in 0..2 {
        call_as(&public, UNARY, &token).await.passed();
        let refused = call_as(&admin, UNARY, &token).await;
        refused.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
        call_as(&by_method, UNARY, &token).await.passed();
        let refused = call_as(&by_method, STREAM, &token).await;
        refused.is_refused(Code::PermissionDenied, "ACCESS_DENIED");
        let refused = call_as(&by_method, "/no/such/method", &token).await;
        refused.is_refused(Code::Unimplemented, "METHOD_UNKNOWN");
    }
}

#[tokio::test]
async fn i03_another_any_of_asks_its_first_kind_first() {
    let keys = || ApiKeys::new().key(API_KEY, Identity::new("api_key")).unwrap();
    let jwt = builder().build().unwrap();
    let token = remembered_by(&jwt, json!({}));
    let token_first = layer(any_of(jwt.clone()).or(keys())).build().unwrap();
    let key_first = layer(any_of(keys()).or(jwt.clone())).build().unwrap();
    let bad = Some("b7b1f3a05c7e4b5a8e0d6f1c2a3b4c5d");
    let peer = "192.0.2.1:1";
    call_from(&token_first, &token, peer, bad).await.passed();
    // A bad key is refused although another layer has accepted the token.
    let refused = call_from(&key_first, &token, peer, bad).await;
    refused.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    call_from(&key_first, &token, peer, None).await.passed();
    // All kinds are required, although one is cached.
    let both = layer(all_of(keys()).and(jwt)).build().unwrap();
    let refused = call_from(&both, &token, peer, None).await;
    refused.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    let caller = call_from(&both, &token, peer, Some(API_KEY)).await.passed().identity.unwrap();
    assert_eq!((caller.method(), caller.also()[0].subject()), ("api_key", Some("alice")));
}

#[tokio::test]
async fn i04_revoked_meanwhile_it_is_refused_and_in_a_shadow_it_is_nobody() {
    let revoked = Arc::new(AtomicBool::new(false));
    let is = Arc::clone(&revoked);
    let jwt = builder().revoked(move |_| is.load(Ordering::SeqCst)).build().unwrap();
    let token = remembered_by(&jwt, json!({}));
    let (strict, _) = told(layer(jwt.clone()));
    let (shadow, cached) = told(layer(jwt).shadow());
    call_as(&strict, UNARY, &token).await.passed();
    assert!(call_as(&shadow, UNARY, &token).await.passed().identity.is_some());
    revoked.store(true, Ordering::SeqCst);
    let refused = call_as(&strict, UNARY, &token).await;
    refused.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    assert_eq!(refused.field("auth.check").as_deref(), Some("Text(\"revoked\")"));
    let tried = call_as(&shadow, UNARY, &token).await;
    let seen = tried.passed();
    assert!(seen.identity.is_none() && seen.principal.is_none());
    assert_eq!((&*tried.refusals[0].reason, tried.refusals[0].shadow), ("TOKEN_INVALID", true));
    revoked.store(false, Ordering::SeqCst);
    assert!(call_as(&shadow, UNARY, &token).await.passed().identity.is_some());
    assert_eq!(*cached.lock().unwrap(), [true, false, true]);
}

#[tokio::test]
async fn i05_in_a_shadow_too_it_expires_and_lacks_the_scopes_it_lacks() {
    let now = Arc::new(AtomicU64::new(NOW));
    let shown = Arc::clone(&now);
    let jwt = builder().build().unwrap();
    let token = remembered_by(&jwt, json!({ "scope": "a" }));
    let layer = AuthLayer::new(jwt)
        .with_clock(WallClock::new(move || at(shown.load(Ordering::SeqCst) as f64)))
        .shadow()
        .method("test.v1.Kinds", "Unary", Access::scope("b"))
        .build()
        .unwrap();
    let tried = call_as(&layer, UNARY, &token).await;
    // Identified, though not authorized.
    assert_eq!(tried.passed().identity.unwrap().subject(), Some("alice"));
    assert_eq!(&*tried.refusals[0].reason, "SCOPE_INSUFFICIENT");
    now.store(NOW + 360, Ordering::SeqCst);
    let tried = call_as(&layer, STREAM, &token).await;
    assert!(tried.passed().identity.is_none());
    assert_eq!(&*tried.refusals[0].reason, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn i06_of_all_kinds_each_is_asked_each_time_and_remembered_means_all_of_them() {
    let jwt = builder().build().unwrap();
    let token = remembered_by(&jwt, json!({}));
    let end = at(NOW as f64 + 5.0);
    let soon = move |cached| {
        authenticate_fn(move |_| {
            let identity = Identity::new("short").with_expires_at(end);
            Outcome::Identified { identity, cached }
        })
    };
    let (both, first) = told(layer(all_of(jwt.clone()).and(soon(true))));
    let (one, second) = told(layer(all_of(jwt.clone()).and(soon(false))));
    for layer in [&both, &one, &both, &one] {
        let caller = call_as(layer, UNARY, &token).await.passed().identity.unwrap();
        assert_eq!((caller.expires_at(), caller.also().len()), (Some(end), 1));
    }
    assert_eq!(*first.lock().unwrap(), [true, true]);
    assert_eq!(*second.lock().unwrap(), [false, false]);
    // This does not change the cached identity.
    let alone = passes(ask(&jwt, &token));
    assert_eq!(alone.expires_at(), Some(at(NOW as f64 + 360.0)));
    assert!(alone.also().is_empty());
    // The other credentials expire before the token.
    let late = end + Duration::from_secs(1);
    let late = AuthLayer::new(all_of(jwt).and(soon(true))).with_clock(WallClock::new(move || late));
    let refused = call_as(&late.build().unwrap(), UNARY, &token).await;
    refused.is_refused(Code::Unauthenticated, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn i07_from_a_limited_address_it_passes_and_only_as_itself() {
    let key = Signer::secret(SECRET).key();
    let issuer = Jwt::keys(ISSUER, [key]).audience(AUDIENCE);
    let jwt = Jwt::builder().issuer(issuer).failures_per_minute(1).build().unwrap();
    let token = remembered_by(&jwt, json!({}));
    let layer = layer(jwt).build().unwrap();
    let (here, there) = ("192.0.2.1:1", "192.0.2.2:1");
    let forged = Signer::secret(&[7; 32]).token(json!({}));
    let refused = call_from(&layer, &forged, here, None).await;
    refused.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    call_from(&layer, &token, here, None).await.passed();
    call_from(&layer, &token, there, None).await.passed();
    let (message, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = forged.rsplit_once('.').unwrap();
    let alike = format!("{message}.{signature}");
    let refused = call_from(&layer, &alike, here, None).await;
    refused.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
    let refused = call_from(&layer, &alike, there, None).await;
    refused.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
}
