//! Access tokens of Amazon Cognito, which have no `aud`.

use serde_json::{Value, json};
use tonic_auth_layer::Outcome;
use tonic_auth_layer::jwt::{Issuer, Jwt, JwtError};

use crate::jwt_support::*;

const POOL: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE";
const CLIENT: &str = "1example23456789";

fn issuer() -> Issuer {
    Jwt::keys(POOL, [shared_rsa().key()])
}

fn pool() -> Jwt {
    issuer().cognito([CLIENT, "another-client"]).build().unwrap()
}

/// An access token as Cognito issues it, with these claims changed.
fn token(changed: Value) -> String {
    let mut claims = json!({
        "iss": POOL, "aud": null, "sub": "aaaaaaaa-bbbb-cccc", "client_id": CLIENT, "token_use": "access",
        "scope": "orders/read", "username": "ann", "cognito:groups": ["admins"], "version": 2,
        "auth_time": NOW - 10, "event_id": "e", "origin_jti": "o", "jti": "j",
    });
    claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    shared_rsa().token_of("k", claims)
}

#[test]
fn an_access_token_of_one_of_the_clients_passes_without_an_audience() {
    let jwt = pool();
    for client in [CLIENT, "another-client"] {
        let token = token(json!({ "client_id": client }));
        for cached in [false, true] {
            let outcome = ask(&jwt, &token);
            assert!(matches!(outcome, Outcome::Identified { cached: is, .. } if is == cached));
            let caller = passes(outcome);
            assert_eq!(&*caller.principal(), format!("{POOL}#aaaaaaaa-bbbb-cccc"));
            assert_eq!(caller.scopes().collect::<Vec<_>>(), ["orders/read"]);
        }
    }
    let groups = issuer().cognito([CLIENT]).scopes_at("/cognito:groups").build().unwrap();
    assert!(passes(ask(&groups, &token(json!({})))).has_scope("admins"));
}

#[test]
fn a_token_of_another_client_or_for_another_use_is_refused() {
    let jwt = pool();
    for (changed, check) in [
        (json!({ "client_id": "a-third-client" }), "client_id"),
        (json!({ "client_id": CLIENT.to_uppercase() }), "client_id"),
        (json!({ "client_id": "" }), "client_id"),
        (json!({ "client_id": null }), "client_id"),
        (json!({ "client_id": [CLIENT] }), "client_id"),
        (json!({ "token_use": "id" }), "token_use"),
        // The claims of an ID token.
        (json!({ "token_use": "id", "aud": CLIENT, "client_id": null }), "token_use"),
        (json!({ "token_use": null }), "token_use"),
        (json!({ "token_use": ["access"] }), "token_use"),
        (json!({ "token_use": "ACCESS" }), "token_use"),
        (json!({ "sub": null }), "sub"),
        (json!({ "iss": format!("{POOL}2") }), "iss"),
        (json!({ "cnf": { "jkt": "x" } }), "cnf"),
    ] {
        invalid_by(ask(&jwt, &token(changed)), check);
    }
    let forged = Signer::rsa().token_of(
        "k",
        json!({ "iss": POOL, "aud": null, "client_id": CLIENT,
        "token_use": "access" }),
    );
    invalid_by(ask(&jwt, &forged), "signature");
    let header = json!({ "alg": "RS256", "typ": "at+jwt" });
    let typed =
        claims(json!({ "iss": POOL, "aud": null, "client_id": CLIENT, "token_use": "access" }));
    invalid_by(ask(&jwt, &shared_rsa().sign(&header, &typed)), "typ");
}

#[test]
fn an_audience_that_is_there_counts() {
    let failed = failure(ask(&pool(), &token(json!({ "aud": "https://billing.example" }))));
    assert_eq!((failed.check(), failed.expected_value()), ("aud", Some("nothing")));
    let bound = issuer().cognito([CLIENT]).audience("https://orders.example").build().unwrap();
    passes(ask(&bound, &token(json!({ "aud": "https://orders.example" }))));
    passes(ask(&bound, &token(json!({}))));
    for aud in [json!("https://billing.example"), json!([]), json!(""), json!({})] {
        invalid_by(ask(&bound, &token(json!({ "aud": aud }))), "aud");
    }
    invalid_by(
        ask(&bound, &token(json!({ "aud": "https://orders.example", "client_id": "x" }))),
        "client_id",
    );
}

#[test]
fn no_other_issuer_does_without_an_audience() {
    let ours = issuer().audience("orders").build().unwrap();
    invalid_by(ask(&ours, &token(json!({}))), "aud");
    // Also if the verifier has an issuer without an audience.
    let both = Jwt::builder()
        .issuer(issuer().cognito([CLIENT]))
        .issuer(Jwt::keys("other", [shared_rsa().key()]).audience("orders"))
        .build()
        .unwrap();
    passes(ask(&both, &token(json!({}))));
    invalid_by(ask(&both, &token(json!({ "iss": "other" }))), "aud");
}

#[test]
fn no_client_is_an_error_where_it_is_written() {
    let none: [&str; 0] = [];
    assert!(
        matches!(issuer().cognito(none).build(), Err(JwtError::NoClients(name)) if name == POOL)
    );
    let nameless = issuer().cognito([CLIENT, ""]).build();
    assert!(nameless.unwrap_err().to_string().contains("app client"));
    let audience = issuer().cognito([CLIENT]).audience("").build();
    assert!(matches!(audience, Err(JwtError::NoAudience(_))));
}
