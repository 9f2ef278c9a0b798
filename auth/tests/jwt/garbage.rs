//! For all input, nothing panics, and only tokens that are valid in all respects pass.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
use tonic_auth_layer::{Authenticating, Outcome};

use crate::jwt_support::*;

/// A verifier with keys of each kind, so that each is used.
static JWT: LazyLock<Jwt> = LazyLock::new(|| {
    let keys = [Signer::p256().key().with_id("a"), Signer::ed().key(), shared_rsa().key()];
    let issuer = Jwt::keys(ISSUER, keys.into_iter().chain([hs256().key()])).audience(AUDIENCE);
    Jwt::builder().issuer(issuer).cache(100).build().unwrap()
});

fn hs256() -> Signer {
    Signer::secret(SECRET)
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(_) | Outcome::Unavailable(_))
}

/// JSON that contains the relevant names and values.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(NOW)),
        Just(json!(NOW + 300)),
        Just(json!(1e300)),
        Just(json!(LAST)),
        Just(json!(LAST + 1.0)),
        Just(json!({ "$serde_json::private::Number": "1" })),
        Just(json!(u64::MAX)),
        Just(json!(ISSUER)),
        Just(json!(AUDIENCE)),
        Just(json!("none")),
        Just(json!("HS256")),
        Just(json!("ES256")),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|members| { Value::Object(members.into_iter().collect()) }),
        ]
    })
}

/// Names of members, each of which is checked by some rule.
fn any_name(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(names)
}

/// The last second of the year 9999.
const LAST: f64 = 253_402_300_799.0;

const HEADERS: &[&str] = &["alg", "kid", "typ", "crit", "b64", "enc", "zip", "jwk", "jku", "x"];
const CLAIMS: &[&str] =
    &["iss", "aud", "exp", "nbf", "iat", "sub", "cnf", "scope", "scp", "jti", "x"];

fn changed(mut value: Value, changes: Vec<(&str, Value)>) -> Value {
    for (name, change) in changes {
        value[name] = change;
    }
    value
}

/// The definition of a valid token, written differently than in the verifier.
fn is_good(header: &Value, claims: &Value) -> bool {
    let number = |name: &str| claims.get(name).map(Value::as_f64);
    let texts = |value: &Value| match value {
        Value::Array(texts) => texts.iter().all(Value::is_string),
        value => value.is_string(),
    };
    let now = NOW as f64;
    let is_mine = |aud: &Value| match aud {
        Value::Array(all) => texts(aud) && all.contains(&json!(AUDIENCE)),
        one => *one == json!(AUDIENCE),
    };
    let scope = claims.get("scope").or_else(|| claims.get("scp"));
    header["alg"] == "HS256"
        && header.get("kid").is_none_or(|kid| kid.is_string() && kid != "a")
        && header.get("typ").is_none_or(|typ| {
            let typ = typ.as_str().map(str::to_lowercase);
            matches!(typ.as_deref(), Some("jwt" | "at+jwt"))
        })
        && ["crit", "enc", "zip"].iter().all(|name| header.get(name).is_none())
        && header.get("b64").is_none_or(|b64| *b64 == json!(true))
        && claims["iss"] == ISSUER
        && claims.get("aud").is_some_and(is_mine)
        && number("exp").flatten().is_some_and(|exp| now < exp + 60.0 && exp <= LAST)
        && number("nbf").is_none_or(|nbf| nbf.is_some_and(|nbf| -LAST <= nbf && nbf <= now + 60.0))
        && number("iat").is_none_or(|iat| iat.is_some_and(|iat| (0.0..=LAST).contains(&iat)))
        && claims.get("sub").is_none_or(|sub| sub.as_str().is_some_and(|sub| !sub.is_empty()))
        && claims.get("cnf").is_none()
        && scope.is_none_or(|scope| scope.is_null() || texts(scope))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_in_the_header_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let value: Vec<u8> = b"Bearer ".iter().chain(&bytes).copied().collect();
        if http::HeaderValue::from_bytes(&value).is_ok() {
            match ask_parts(&JWT, &call(&[&value], None), at(NOW as f64)) {
                Authenticating::Ready(outcome) => prop_assert!(is_refused(&outcome)),
                Authenticating::Later(_) => prop_assert!(false, "no key is fetched"),
            }
        }
    }

    #[test]
    fn any_three_parts_are_refused(parts in proptest::collection::vec("[A-Za-z0-9_-]{0,90}", 1..6)) {
        prop_assert!(is_refused(&ask(&JWT, &parts.join("."))));
    }

    #[test]
    fn any_text_that_is_signed_is_refused(header in ".{0,60}", payload in ".{0,60}") {
        prop_assert!(is_refused(&ask(&JWT, &hs256().sign_text(&header, &payload))));
    }

    #[test]
    fn a_signed_token_passes_if_and_only_if_it_is_good(
        headers in proptest::collection::vec((any_name(HEADERS), any_json()), 0..2),
        claimed in proptest::collection::vec((any_name(CLAIMS), any_json()), 0..3),
    ) {
        let header = changed(json!({ "alg": "HS256" }), headers);
        let claims = changed(claims(json!({})), claimed);
        let token = hs256().sign(&header, &claims);
        let outcome = ask(&JWT, &token);
        let passed = matches!(outcome, Outcome::Identified { .. });
        prop_assert_eq!(passed, is_good(&header, &claims), "{} {} {:?}", header, claims, outcome);
    }

    #[test]
    fn a_good_token_with_one_byte_changed_is_refused(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = hs256().token(json!({}));
        let place = place.index(good.len());
        let mut changed = good.clone().into_bytes();
        changed[place] = byte;
        if changed != good.as_bytes() {
            let value: Vec<u8> = b"Bearer ".iter().chain(&changed).copied().collect();
            if http::HeaderValue::from_bytes(&value).is_ok() {
                match ask_parts(&JWT, &call(&[&value], None), at(NOW as f64)) {
                    Authenticating::Ready(outcome) => prop_assert!(is_refused(&outcome)),
                    Authenticating::Later(_) => prop_assert!(false, "no key is fetched"),
                }
            }
        }
    }

    #[test]
    fn a_good_token_that_is_cut_or_longer_is_refused(cut in 0_usize..200, more in "[A-Za-z0-9_.-]{1,9}") {
        let good = hs256().token(json!({}));
        let cut = good.len().saturating_sub(cut + 1);
        prop_assert!(is_refused(&ask(&JWT, &good[..cut])));
        let [longer, other] = [format!("{good}{more}"), format!("{more}{good}")];
        prop_assert!(is_refused(&ask(&JWT, &longer)));
        prop_assert!(is_refused(&ask(&JWT, &other)));
    }

    #[test]
    fn any_key_is_read_or_refused(
        members in proptest::collection::vec((any_name(&["kty", "crv", "x", "y", "n", "e", "k", "alg", "kid", "use", "key_ops"]), any_json()), 0..6),
        kty in any_name(&["RSA", "EC", "OKP", "oct", "x"]),
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let bytes = encoded(&bytes);
        let key = json!({ "kty": kty, "crv": "P-256", "x": bytes, "y": bytes, "n": bytes, "e": bytes, "k": bytes });
        let _ = Key::jwk(changed(key.clone(), members).to_string());
        let _ = Key::jwk(changed(key, vec![("crv", json!("Ed25519"))]).to_string());
        for algorithm in [Algorithm::RS256, Algorithm::ES512, Algorithm::EdDSA, Algorithm::HS256] {
            let _ = Key::pem(algorithm, pem_of("PUBLIC KEY", bytes.as_bytes()));
        }
    }
}
