//! Tokens that jsonwebtoken verifies. The rules for both back ends are in `rules.rs`.

use std::collections::HashSet;
use std::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Code;
use tonic_auth_layer::jwt::{Algorithm, Issuer, Jwt, JwtError, KeyError};
use tonic_auth_layer::{Access, AuthLayer, Outcome, Reason, WallClock};

use crate::common::{UNARY, call_as};
use crate::jwt_support::*;

/// Later than the time of any test run: `decode` always uses the system clock.
const FAR: u64 = 200_000_000_000;

fn hs256() -> Signer {
    Signer::secret(SECRET)
}

fn secret() -> DecodingKey {
    DecodingKey::from_secret(SECRET)
}

fn validation() -> Validation {
    let mut validation = Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation
}

/// A validation with one change.
fn with(change: impl FnOnce(&mut Validation)) -> Validation {
    let mut validation = validation();
    change(&mut validation);
    validation
}

fn built(validation: Validation) -> Jwt {
    Jwt::by_jsonwebtoken(validation).default_key(secret()).build().unwrap()
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

#[test]
fn each_family_verifies_alone_and_beside_others() {
    let signers = [hs256(), Signer::rsa(), Signer::p256(), Signer::ed()];
    for signer in &signers {
        let jwt = by_jsonwebtoken(&[(None, signer)], &[AUDIENCE]).build().unwrap();
        passes(ask(&jwt, &signer.token(json!({}))));
        let mut forged = signer.token(json!({}));
        forged.truncate(forged.len() - 86.min(forged.len() / 4));
        assert_eq!(refusal(ask(&jwt, &forged)).0, Reason::TokenInvalid);
    }
    // `decode` would refuse each of these: the `Validation` has algorithms of several families.
    let keys: Vec<_> = signers.iter().map(|signer| (None, signer)).collect();
    let jwt = by_jsonwebtoken(&keys, &[AUDIENCE]).build().unwrap();
    for signer in &signers {
        passes(ask(&jwt, &signer.token(json!({}))));
    }
    let stranger = Signer::ed();
    invalid_by(ask(&jwt, &stranger.token(json!({}))), "signature");
}

#[test]
fn a_key_verifies_by_each_algorithm_that_the_validation_has_of_its_family() {
    use jsonwebtoken::Algorithm::{HS256, HS384, HS512};
    let secret = [7; 64];
    let validation = with(|validation| validation.algorithms = vec![HS256, HS512, HS256]);
    let issuer = Jwt::by_jsonwebtoken(validation).key("a", DecodingKey::from_secret(&secret));
    let jwt = issuer.build().unwrap();
    for (algorithm, check) in [(HS256, None), (HS512, None), (HS384, Some("alg"))] {
        let mut header = Header::new(algorithm);
        header.kid = Some("a".to_owned());
        let key = EncodingKey::from_secret(&secret);
        let outcome = ask(&jwt, &encode(&header, &claims(json!({})), &key).unwrap());
        match check {
            None => assert_eq!(passes(outcome).subject(), Some("alice")),
            Some(check) => invalid_by(outcome, check),
        }
    }
}

/// Each row about a token in the table of the docs.
#[test]
fn what_decode_alone_accepts_is_refused() {
    let header = |more: &str| format!(r#"{{"alg":"HS256"{more}}}"#);
    let body = |changed: Value| claims(changed).to_string();
    let far = json!({ "exp": FAR });
    let changed = |name: &str, value: Value| {
        let mut changed = far.clone();
        changed[name] = value;
        claims(changed).to_string()
    };
    let twice = body(far.clone()).replacen('{', r#"{"scope":"a","scope":"b","#, 1);
    let validation = with(|validation| {
        validation.sub = Some("alice".to_owned());
        validation.required_spec_claims.insert("jti".to_owned());
    });
    let tagged = |text: String| text.replacen('{', r#"{"jti":"1","#, 1);
    let jwt = built(validation.clone());
    let plain = hs256().sign_text(&header(""), &tagged(body(far.clone())));
    passes(ask(&jwt, &plain));
    // Not with the feature `arbitrary_precision` of serde_json: `decode` then reads no dates.
    let decodes = decode::<Value>(&plain, &secret(), &validation).is_ok();
    for (header, claims, check) in [
        (header(""), tagged(changed("iss", Value::Null)), "iss"),
        (header(""), tagged(changed("iss", json!([ISSUER]))), "iss"),
        (header(""), tagged(changed("aud", Value::Null)), "aud"),
        (header(""), tagged(changed("sub", Value::Null)), "sub"),
        (header(""), tagged(changed("nbf", json!(FAR - 1))), "nbf"),
        (header(""), tagged(changed("cnf", json!({ "jkt": "a" }))), "cnf"),
        (header(""), tagged(twice), "payload"),
        (header(""), body(far.clone()), "claims"),
        (header(r#","x":1,"x":2"#), tagged(body(far.clone())), "header"),
        (header(r#","crit":["exp"]"#), tagged(body(far.clone())), "crit"),
        (header(r#","b64":false"#), tagged(body(far.clone())), "b64"),
        (header(r#","enc":"A128GCM""#), tagged(body(far.clone())), "enc"),
        (header(r#","zip":"DEF""#), tagged(body(far.clone())), "zip"),
        (header(r#","typ":"id+jwt""#), tagged(body(far.clone())), "typ"),
    ] {
        let token = hs256().sign_text(&header, &claims);
        let alone = decode::<Value>(&token, &secret(), &validation);
        assert_eq!(alone.is_ok(), decodes, "{header} {claims}");
        invalid_by(ask(&jwt, &token), check);
    }
}

#[test]
fn exp_is_required_where_it_is_validated() {
    let without = hs256().token(json!({ "exp": null }));
    let over = hs256().token(json!({ "exp": NOW - 600 }));
    let jwt = built(with(|validation| validation.required_spec_claims.clear()));
    let refused = failure(ask(&jwt, &without));
    assert_eq!((refused.reason(), refused.check()), (Reason::TokenInvalid, "exp"));
    assert_eq!(refusal(ask(&jwt, &over)), (Reason::TokenExpired, "exp"));

    let jwt = built(with(|validation| {
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
    }));
    for token in [&without, &over] {
        for cached in [false, true] {
            let outcome = ask(&jwt, token);
            assert_eq!(is_cached(&outcome), cached);
            assert_eq!(passes(outcome).expires_at(), None);
        }
    }
    invalid_by(ask(&jwt, &hs256().token(json!({ "exp": "tomorrow" }))), "exp");
    // It is required, but not compared.
    let jwt = built(with(|validation| validation.validate_exp = false));
    passes(ask(&jwt, &over));
    invalid_by(ask(&jwt, &without), "exp");
}

#[test]
fn a_token_expires_earlier_where_the_validation_says_so() {
    let jwt = built(with(|validation| {
        validation.leeway = 0;
        validation.reject_tokens_expiring_in_less_than = 100;
    }));
    let token = hs256().token(json!({ "exp": NOW + 300 }));
    assert_eq!(passes(ask(&jwt, &token)).expires_at(), Some(at(NOW as f64 + 200.0)));
    assert!(is_cached(&ask_at(&jwt, &token, NOW as f64 + 199.0)));
    assert_eq!(refusal(ask_at(&jwt, &token, NOW as f64 + 200.0)).0, Reason::TokenExpired);
    assert_eq!(refusal(ask(&jwt, &hs256().token(json!({ "exp": 5 })))).0, Reason::TokenExpired);
}

#[test]
fn without_an_issuer_in_the_validation_any_is_accepted_and_none() {
    let jwt = built(with(|validation| validation.iss = None));
    let named = passes(ask(&jwt, &hs256().token(json!({ "iss": "https://other.example" }))));
    assert_eq!(named.issuer(), Some("https://other.example"));
    let nameless = passes(ask(&jwt, &hs256().token(json!({ "iss": null }))));
    assert_eq!((nameless.issuer(), nameless.subject()), (None, Some("alice")));
    invalid_by(ask(&jwt, &hs256().token(json!({ "iss": 7 }))), "iss");
    let required = with(|validation| {
        validation.iss = None;
        validation.required_spec_claims.insert("iss".to_owned());
    });
    invalid_by(ask(&built(required), &hs256().token(json!({ "iss": null }))), "iss");
}

#[test]
fn each_of_several_issuers_keeps_its_name() {
    let other = "https://other.example";
    let jwt = built(with(|validation| validation.set_issuer(&[ISSUER, other])));
    for iss in [ISSUER, other] {
        assert_eq!(passes(ask(&jwt, &hs256().token(json!({ "iss": iss })))).issuer(), Some(iss));
    }
    let failed = failure(ask(&jwt, &hs256().token(json!({ "iss": "https://third.example" }))));
    let both = format!("{ISSUER} or {other}");
    assert_eq!((failed.check(), failed.expected_value()), ("iss", Some(&*both)));
}

#[test]
fn the_audience_is_checked_as_the_validation_says() {
    let (with_aud, without) = (hs256().token(json!({})), hs256().token(json!({ "aud": null })));
    let jwt = built(with(|validation| validation.aud = None));
    let failed = failure(ask(&jwt, &with_aud));
    assert_eq!((failed.check(), failed.expected_value()), ("aud", Some("nothing")));
    passes(ask(&jwt, &without));
    let jwt = built(with(|validation| validation.validate_aud = false));
    passes(ask(&jwt, &hs256().token(json!({ "aud": "billing" }))));
    passes(ask(&jwt, &without));
}

#[test]
fn a_key_without_a_kid_verifies_what_names_no_other() {
    let [a, default] = [Signer::ed(), Signer::ed()];
    let keys = [(Some("a"), &a), (None, &default)];
    let jwt = by_jsonwebtoken(&keys, &[AUDIENCE]).build().unwrap();
    passes(ask(&jwt, &a.token_of("a", json!({}))));
    passes(ask(&jwt, &default.token_of("b", json!({}))));
    invalid_by(ask(&jwt, &default.token_of("a", json!({}))), "signature");
    // Both keys are candidates.
    invalid_by(ask(&jwt, &default.token(json!({}))), "kid");
    let alone = by_jsonwebtoken(&[(None, &default)], &[AUDIENCE]).build().unwrap();
    passes(ask(&alone, &default.token(json!({}))));
}

#[test]
fn both_back_ends_refuse_in_the_same_words() {
    let signers = [Signer::ed(), Signer::ed()];
    let keys = [(Some("a"), &signers[0]), (Some("b"), &signers[1])];
    let token = |changed: Value| signers[0].token_of("a", changed);
    let mut tampered = token(json!({}));
    tampered.replace_range(tampered.len() - 10..tampered.len() - 6, "AAAA");
    let tokens = [
        token(json!({ "iss": "x" })),
        token(json!({ "aud": "x" })),
        token(json!({ "exp": NOW - 60 })),
        token(json!({ "nbf": NOW + 61 })),
        token(json!({ "sub": "" })),
        token(json!({ "exp": null })),
        token(json!({ "iss": null })),
        signers[0].token_of("b", json!({})),
        signers[0].token_of("c", json!({})),
        signers[0].token(json!({})),
        hs256().token_of("a", json!({})),
        tampered.clone(),
        format!("{tampered}B"),
        "a.b.c".to_owned(),
    ];
    let told = std::sync::Mutex::new(Vec::new());
    each_back_end(&keys, &[AUDIENCE], |jwt| {
        let failures = tokens.iter().map(|token| format!("{:?}", failure(ask(jwt, token))));
        told.lock().unwrap().push(failures.collect::<Vec<_>>());
    });
    let told = told.into_inner().unwrap();
    assert_eq!(told[0], told[1]);
}

/// Guards against: a header that jsonwebtoken cannot read, reported as an invalid signature.
#[test]
fn what_jsonwebtoken_alone_refuses_has_a_check_of_its_own() {
    let ed = Signer::ed();
    let jwt = by_jsonwebtoken(&[(None, &ed)], &[AUDIENCE]).build().unwrap();
    let x5c = json!({ "alg": "EdDSA", "x5c": "not an array" });
    for header in [x5c, json!({ "alg": "Ed25519" })] {
        let refused = failure(ask(&jwt, &ed.sign(&header, &claims(json!({})))));
        assert_eq!((refused.reason(), refused.check()), (Reason::TokenInvalid, "jsonwebtoken"));
        assert!(refused.received_value().unwrap().contains("JSON error"), "{refused:?}");
    }
}

#[derive(Deserialize)]
struct Employee {
    tenant: String,
}

#[test]
fn what_the_validation_does_not_say_is_set_beside_it() {
    let issuer = || Jwt::by_jsonwebtoken(validation()).default_key(secret());
    let token = |typ: &str, changed: Value| {
        hs256().sign(&json!({ "alg": "HS256", "typ": typ }), &claims(changed))
    };
    let jwt = issuer().typ("secevent+jwt").build().unwrap();
    passes(ask(&jwt, &token("secevent+jwt", json!({}))));
    invalid_by(ask(&jwt, &token("JWT", json!({}))), "typ");

    let jwt = issuer().max_lifetime(Duration::from_secs(310)).build().unwrap();
    passes(ask(&jwt, &token("JWT", json!({}))));
    invalid_by(ask(&jwt, &token("JWT", json!({ "exp": NOW + 301 }))), "exp");
    let unlimited = with(|validation| {
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
    });
    let jwt = Jwt::by_jsonwebtoken(unlimited).default_key(secret());
    let jwt = jwt.max_lifetime(Duration::from_secs(310)).build().unwrap();
    invalid_by(ask(&jwt, &token("JWT", json!({ "exp": null }))), "exp");

    let jwt = issuer().scopes_at("/roles").claims_as::<Employee>().build().unwrap();
    let caller = passes(ask(&jwt, &token("JWT", json!({ "roles": ["a"], "tenant": "t" }))));
    assert_eq!(caller.scopes().collect::<Vec<_>>(), ["a"]);
    assert_eq!(caller.data::<Employee>().unwrap().tenant, "t");
    invalid_by(ask(&jwt, &token("JWT", json!({ "roles": ["a"] }))), "claims");
    let wrong = issuer().scopes_at("roles").build();
    assert!(matches!(wrong, Err(JwtError::Setting { setting: "scopes_at", .. })));
}

#[tokio::test(start_paused = true)]
async fn bad_signatures_are_limited_and_remembered_tokens_pass() {
    let issuer = Jwt::by_jsonwebtoken(validation()).default_key(secret());
    let jwt = Jwt::builder().issuer(issuer).failures_per_minute(3).build().unwrap();
    let from = |token: &str| ask_from(&jwt, token, Some("192.0.2.1:1"), NOW as f64);
    let good = hs256().token(json!({}));
    passes(from(&good));
    for n in 0..3 {
        invalid_by(from(&Signer::secret(&[7; 32]).token(json!({ "jti": n }))), "signature");
    }
    let new = hs256().token(json!({ "jti": "new" }));
    assert_eq!(refusal(from(&new)), (Reason::RateLimited, "failures"));
    assert!(is_cached(&from(&good)));
}

#[tokio::test]
async fn access_rules_hold() {
    let layer = AuthLayer::new(built(validation()))
        .with_clock(WallClock::new(|| at(NOW as f64)))
        .method("test.v1.Kinds", "Unary", Access::scope("orders.read"))
        .build()
        .unwrap();
    let token = |scope: &str| hs256().token(json!({ "scope": scope }));
    let seen = call_as(&layer, UNARY, &token("orders.read")).await.passed();
    assert_eq!(seen.principal.as_deref(), Some("https://id.example#alice"));
    let called = call_as(&layer, UNARY, &token("orders.write")).await;
    called.is_refused(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    let called = call_as(&layer, UNARY, &hs256().token(json!({ "aud": "billing" }))).await;
    called.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
}

#[test]
fn other_issuers_stand_beside_it() {
    let ed = Signer::ed();
    let other = "https://other.example";
    let own = || Jwt::keys(other, [ed.key()]).audience(AUDIENCE);
    let issuer = |validation| Jwt::by_jsonwebtoken(validation).default_key(secret());
    let lenient = with(|validation| {
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
    });
    let jwt = Jwt::builder().issuer(own()).issuer(issuer(lenient)).build().unwrap();
    passes(ask(&jwt, &hs256().token(json!({ "exp": null }))));
    passes(ask(&jwt, &ed.token(json!({ "iss": other }))));
    // A claim that is optional for one issuer is still required for the other.
    invalid_by(ask(&jwt, &ed.token(json!({ "iss": other, "exp": null }))), "exp");
    invalid_by(ask(&jwt, &hs256().token(json!({ "iss": other }))), "alg");
    invalid_by(ask(&jwt, &ed.token(json!({}))), "alg");

    let any = issuer(with(|validation| validation.iss = None));
    for issuers in [[Issuer::from(any.clone()), own()], [own(), any.clone().into()]] {
        let [first, second] = issuers;
        let built = Jwt::builder().issuer(first).issuer(second).build();
        assert!(matches!(built, Err(JwtError::Setting { setting: "iss", .. })), "{built:?}");
    }
    let twice = Jwt::builder().issuer(issuer(validation())).issuer(issuer(validation())).build();
    assert!(matches!(twice, Err(JwtError::IssuerTwice(name)) if name == ISSUER));
}

#[test]
fn what_can_verify_nothing_is_an_error_of_build() {
    let built = |change: fn(&mut Validation), keys: &[(Option<&str>, DecodingKey)]| {
        let issuer = Jwt::by_jsonwebtoken(with(change));
        let add = |issuer: tonic_auth_layer::jwt::JsonwebtokenIssuer, (kid, key): &(_, _)| match kid
        {
            Some(kid) => issuer.key(*kid, DecodingKey::clone(key)),
            None => issuer.default_key(DecodingKey::clone(key)),
        };
        keys.iter().fold(issuer, add).build().map(|_| ()).unwrap_err()
    };
    let key_error = |error: JwtError| match error {
        JwtError::Key { issuer, error } if issuer == ISSUER => error,
        other => panic!("{other}"),
    };
    let good = &[(None, secret())][..];
    let nothing = |_: &mut Validation| {};
    assert!(matches!(built(nothing, &[]), JwtError::NoKeys(name) if name == ISSUER));
    assert!(matches!(built(|it| it.algorithms.clear(), good), JwtError::NoKeys(_)));
    assert!(matches!(built(|it| it.leeway = 601, good), JwtError::Leeway { .. }));
    assert!(matches!(built(|it| it.leeway = u64::MAX, good), JwtError::Leeway { .. }));
    assert!(matches!(built(|it| it.aud = Some(HashSet::new()), good), JwtError::NoAudience(_)));
    assert!(matches!(built(|it| it.set_audience(&[""]), good), JwtError::NoAudience(_)));
    let no_issuer: [fn(&mut Validation); 2] =
        [|it| it.iss = Some(HashSet::new()), |it| it.set_issuer(&[""])];
    for change in no_issuer {
        assert!(matches!(built(change, good), JwtError::Setting { setting: "iss", .. }));
    }

    let short = [(Some("a"), DecodingKey::from_secret(b"secret"))];
    assert_eq!(key_error(built(nothing, &short)), KeyError::Short { bytes: 6, least: 32 });
    let ed = [(None, secret()), (None, Signer::ed().jsonwebtoken().1)];
    let mismatch = KeyError::Mismatch { algorithm: Algorithm::HS256 };
    assert_eq!(key_error(built(nothing, &ed)), mismatch);
    let two = [(Some("a"), secret()), (Some("a"), DecodingKey::from_secret(&[7; 32]))];
    assert_eq!(key_error(built(nothing, &two)), KeyError::DuplicateId);
    let nameless = [(None, secret()), (None, DecodingKey::from_secret(&[7; 32]))];
    let no_id = KeyError::NoId { algorithm: Algorithm::HS256 };
    assert_eq!(key_error(built(nothing, &nameless)), no_id);
}

/// Guards against: an audience that is set, but not checked.
#[test]
fn a_setting_that_the_validation_replaces_is_an_error() {
    let issuer = || Issuer::from(Jwt::by_jsonwebtoken(validation()).default_key(secret()));
    for (issuer, name) in [
        (issuer().audience("billing"), "audience"),
        (issuer().algorithms([Algorithm::HS512]), "algorithms"),
        (issuer().cognito(["shop"]), "cognito"),
        (issuer().tenants("tid", ["a"]), "tenants"),
    ] {
        let built = issuer.build();
        assert!(
            matches!(&built, Err(JwtError::Setting { setting, .. }) if *setting == name),
            "{built:?}"
        );
    }
    // The other settings apply.
    let jwt = issuer().rfc9068().build().unwrap();
    invalid_by(ask(&jwt, &hs256().token(json!({}))), "typ");
}

#[test]
fn no_key_is_shown() {
    let issuer = Jwt::by_jsonwebtoken(validation()).default_key(secret());
    let shown = format!("{issuer:?} {:?} {:?}", Issuer::from(issuer.clone()), built(validation()));
    assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
}
