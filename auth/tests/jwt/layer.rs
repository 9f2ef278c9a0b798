//! Tokens in a layer: what the caller receives, and what a cached token may do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tonic::Code;
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
use tonic_auth_layer::{
    Access, AuthBuilder, AuthLayer, Authenticate, Authenticating, Incoming, Outcome, WallClock,
};
use tonic_call::Rpc;

use crate::common::{self, UNARY, call_as};
use crate::jwt_support::*;

fn layer(jwt: Jwt) -> AuthBuilder {
    AuthLayer::new(jwt).with_clock(WallClock::new(|| at(NOW as f64)))
}

fn token(claims: serde_json::Value) -> String {
    Signer::secret(SECRET).token(claims)
}

#[tokio::test]
async fn j01_each_reason_has_its_code_and_nobody_is_told_more() {
    let layer = layer(by_secret()).build().unwrap();
    let seen = call_as(&layer, UNARY, &token(json!({}))).await.passed();
    assert_eq!(seen.principal.as_deref(), Some("https://id.example#alice"));
    for (token, reason) in [
        (token(json!({ "exp": NOW - 60 })), "TOKEN_EXPIRED"),
        (token(json!({ "aud": "billing" })), "TOKEN_INVALID"),
        (token(json!({ "cnf": { "jkt": "A" } })), "TOKEN_INVALID"),
        (Signer::secret(&[7; 32]).token(json!({})), "TOKEN_INVALID"),
        ("a.b".to_owned(), "TOKEN_INVALID"),
        ("a b".to_owned(), "CREDENTIALS_MALFORMED"),
        (token(json!({ "x": "y".repeat(8_000) })), "CREDENTIALS_MALFORMED"),
    ] {
        let called = call_as(&layer, UNARY, &token).await;
        called.is_refused(Code::Unauthenticated, reason);
        let told = format!("{} {:?}", called.message, called.headers);
        assert!(!told.contains("billing") && !told.contains("cnf"), "{told}");
    }
}

#[tokio::test]
async fn j02_the_operator_is_told_the_check_and_both_values() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let layer = layer(by_secret()).on_decision({
        let told = Arc::clone(&told);
        move |decision| told.lock().unwrap().push(format!("{decision:?}"))
    });
    let layer = layer.build().unwrap();
    call_as(&layer, UNARY, &token(json!({ "aud": "billing" }))).await;
    let told = told.lock().unwrap().join("");
    for word in ["aud", "orders", "billing"] {
        assert!(told.contains(word), "{told}");
    }
}

#[tokio::test]
async fn j03_a_remembered_token_is_held_to_each_methods_own_access() {
    let jwt = by_secret();
    let layer = layer(jwt.clone())
        .method("test.v1.Kinds", "Unary", Access::scope("orders.read"))
        .method("test.v1.Kinds", "ServerStream", Access::scope("orders.write"))
        .build()
        .unwrap();
    let reader = token(json!({ "scope": "orders.read" }));
    for _ in 0..3 {
        call_as(&layer, UNARY, &reader).await.passed();
        let called = call_as(&layer, "/test.v1.Kinds/ServerStream", &reader).await;
        called.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    }
    assert!(matches!(ask(&jwt, &reader), Outcome::Identified { cached: true, .. }));
}

#[tokio::test(start_paused = true)]
async fn j04_an_address_that_sends_too_many_bad_tokens_is_told_to_stop() {
    let key = Key::secret(Algorithm::HS256, SECRET).unwrap();
    let issuer = Jwt::keys(ISSUER, [key]).audience(AUDIENCE);
    let jwt = Jwt::builder().issuer(issuer).failures_per_minute(2);
    // The address that a trusted proxy reports.
    let jwt =
        jwt.client_address(|call| call.headers().get("x-real-ip")?.to_str().ok()?.parse().ok());
    let layer = layer(jwt.build().unwrap()).build().unwrap();
    let called = |n: u32, address: &'static str| {
        let forged = Signer::secret(&[7; 32]).token(json!({ "jti": n }));
        let layer = layer.clone();
        async move {
            let bearer = format!("Bearer {forged}");
            common::call(&layer, UNARY, &[("authorization", &bearer), ("x-real-ip", address)]).await
        }
    };
    let lines = common::Lines::default();
    let _collecting = lines.collect();
    for n in 0..2 {
        called(n, "192.0.2.1").await.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    }
    assert!(!lines.text().contains("client_address"), "{}", lines.text());
    for n in 4..9 {
        let refused = called(n, "192.0.2.1").await;
        refused.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
    }
    assert_eq!(lines.text().matches("client_address").count(), 1, "said once");
    called(3, "192.0.2.2").await.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
}

/// Guards against: bad tokens of one client that lock out all clients behind the same ingress.
#[tokio::test(start_paused = true)]
async fn j06_behind_an_ingress_60_bad_tokens_of_one_stranger_refuse_nobody_else() {
    use std::net::SocketAddr;
    use tonic::transport::server::TcpConnectInfo;

    let key = Key::secret(Algorithm::HS256, SECRET).unwrap();
    let jwt = Jwt::builder().issuer(Jwt::keys(ISSUER, [key]).audience(AUDIENCE));
    let jwt = jwt.behind(["10.0.0.0/8"]).build().unwrap();
    let layer = layer(jwt).build().unwrap();
    let called = async |token: &str, peer: &str, forwarded: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), ("x-forwarded-for", forwarded)];
        let mut request = common::request(UNARY, &headers);
        let remote_addr = Some(SocketAddr::new(peer.parse().unwrap(), 4_711));
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        common::send(&layer, request).await
    };
    let forged = |n: u32| Signer::secret(&[7; 32]).token(json!({ "jti": n }));
    let ingress = "10.1.2.3";
    for n in 0..60 {
        // The ingress appends the caller's address to what the caller has sent, and a /64 is one caller.
        let forwarded = format!("192.0.2.{n}, 2001:db8:0:1::{n:x}");
        let refused = called(&forged(n), ingress, &forwarded).await;
        refused.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    }
    let refused = called(&forged(60), ingress, "2001:db8:0:1:ffff::1").await;
    refused.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
    // Others send tokens that are not cached.
    for n in 0..100 {
        let good = token(json!({ "jti": n }));
        called(&good, ingress, &format!("198.51.100.{n}")).await.passed();
    }
    called(&token(json!({ "jti": "of the same" })), ingress, "2001:db8:0:2::1").await.passed();
    // `x-forwarded-for` of a peer that is not a trusted proxy is ignored.
    for n in 0..60 {
        let forwarded = format!("198.51.100.{n}");
        let refused = called(&forged(100 + n), "203.0.113.9", &forwarded).await;
        refused.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    }
    let refused = called(&forged(999), "203.0.113.9", "198.51.100.99").await;
    refused.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
    called(&token(json!({ "jti": "still" })), ingress, "198.51.100.99").await.passed();
}

#[test]
fn j07_networks_of_proxies_are_checked_where_they_are_written() {
    let builder = || {
        let key = Key::secret(Algorithm::HS256, SECRET).unwrap();
        Jwt::builder().issuer(Jwt::keys(ISSUER, [key]).audience(AUDIENCE))
    };
    assert!(builder().behind(["10.0.0.0/8", "::1"]).behind(["192.0.2.7"]).build().is_ok());
    for bad in ["ingress", "10.0.0.0/33", ""] {
        let error = builder().behind(["10.0.0.0/8", bad]).build().unwrap_err().to_string();
        assert!(error.contains(&format!("the proxy {bad:?} is neither a network")), "{error}");
    }
    let both = builder().behind(["::1"]).client_address(|_| None).build().unwrap_err();
    assert!(both.to_string().contains("`behind` and `client_address`"), "{both}");
    assert!(builder().behind([""; 0]).client_address(|_| None).build().is_ok());
}

#[test]
fn j05_a_remembered_token_costs_no_allocation() {
    let jwt = by_secret();
    let good = token(json!({ "scope": "a b" }));
    passes(ask(&jwt, &good));
    let parts = call(&[format!("Bearer {good}").as_bytes()], Some("192.0.2.1:1"));
    let rpc = Rpc::from_head(&parts);
    let incoming = Incoming::new(&parts, &rpc, at(NOW as f64));
    let counted = allocation_counter::measure(|| {
        let asked = jwt.authenticate(&incoming);
        let Authenticating::Ready(Outcome::Identified { cached: true, .. }) = asked else {
            panic!("it is remembered")
        };
    });
    assert_eq!(counted.count_total, 0);
}
