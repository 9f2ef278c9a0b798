//! Tokens of other implementations: of Python libraries, stored with the script that made them, and of jsonwebtoken.

use serde_json::{Value, json};
use tonic_auth_layer::Authenticating;
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};

use crate::jwt_support::*;

fn tokens() -> Value {
    serde_json::from_str(include_str!("../data/foreign/tokens.json")).unwrap()
}

fn verifier(entry: &Value) -> Jwt {
    let key = Key::jwk(entry["key"].to_string()).unwrap();
    Jwt::keys(ISSUER, [key]).audience(AUDIENCE).build().unwrap()
}

#[test]
fn good_tokens_of_pyjwt_and_joserfc_pass() {
    let tokens = tokens();
    let good = tokens["good"].as_array().unwrap();
    assert_eq!((tokens["now"].as_u64(), good.len()), (Some(NOW), 33));
    for entry in good {
        let caller = passes(ask(&verifier(entry), entry["token"].as_str().unwrap()));
        assert_eq!(caller.subject(), Some("alice"));
        assert_eq!(caller.scopes().collect::<Vec<_>>(), ["orders.read", "orders.write"]);
        assert_eq!(caller.claims().unwrap()["name"], "Zoë 訂單");
    }
}

#[test]
fn other_tokens_of_pyjwt_and_joserfc_fail_by_what_is_wrong_with_them() {
    let tokens = tokens();
    let bad = tokens["bad"].as_array().unwrap();
    assert_eq!(bad.len(), 23);
    for entry in bad {
        let value = format!("Bearer {}", entry["token"].as_str().unwrap());
        let parts = call(&[value.as_bytes()], None);
        let Authenticating::Ready(outcome) = ask_parts(&verifier(entry), &parts, at(NOW as f64))
        else {
            panic!("it should know at once")
        };
        assert_eq!(refusal(outcome).1, entry["check"], "{entry}");
    }
}

#[test]
fn no_token_passes_by_another_ones_key() {
    let tokens = tokens();
    let good = tokens["good"].as_array().unwrap();
    for entry in good {
        for other in good.iter().filter(|other| other["key"] != entry["key"]) {
            let token = other["token"].as_str().unwrap();
            assert!(["alg", "kid", "signature"].contains(&refusal(ask(&verifier(entry), token)).1));
        }
    }
}

#[test]
fn tokens_of_jsonwebtoken_pass() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let key = Key::secret(Algorithm::HS512, [7; 64]).unwrap();
    let jwt = Jwt::keys(ISSUER, [key]).audience(AUDIENCE).build().unwrap();
    let header = Header::new(jsonwebtoken::Algorithm::HS512);
    let token = encode(&header, &claims(json!({})), &EncodingKey::from_secret(&[7; 64])).unwrap();
    passes(ask(&jwt, &token));
}
