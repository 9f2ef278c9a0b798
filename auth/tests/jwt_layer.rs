//! Tokens as a layer takes them: what the caller is told, and what a remembered token may do.
#![allow(clippy::unwrap_used)]

mod common;
mod jwt_support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tonic::Code;
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
use tonic_auth_layer::{
    Access, AuthBuilder, AuthLayer, Authenticate, Authenticating, Clock, Incoming, Outcome,
};
use tonic_call::Rpc;

use self::common::{UNARY, call_as};
use self::jwt_support::*;

fn layer(jwt: Jwt) -> AuthBuilder {
    AuthLayer::new(jwt).with_clock(Clock::new(|| at(NOW as f64)))
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
    // The address that a proxy of ours says.
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
