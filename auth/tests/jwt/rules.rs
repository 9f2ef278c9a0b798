//! The rules of a verifier, by their numbers in the checklist of their origin: RFC 8725bis and the RFCs that it is
//! based on. For each rule, a token that only this rule refuses, and a similar one that passes.

use serde_json::{Value, json};
use tonic_auth_layer::jwt::{Algorithm, Jwt, JwtError, Key, KeyError};
use tonic_auth_layer::{Authenticating, Outcome, Reason};

use crate::jwt_support::*;

fn hs256() -> Signer {
    Signer::secret(SECRET)
}

/// A file with a set of these keys.
fn set_of(keys: &[Value]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    file
}

#[test]
fn a_good_token_tells_who_is_calling() {
    each_by_secret(|jwt| {
        let caller =
            passes(ask(jwt, &hs256().token(json!({ "scope": "orders.read orders.write" }))));
        assert_eq!(caller.method(), "jwt");
        assert_eq!((caller.issuer(), caller.subject()), (Some(ISSUER), Some("alice")));
        assert_eq!(caller.scopes().collect::<Vec<_>>(), ["orders.read", "orders.write"]);
        assert_eq!(caller.expires_at(), Some(at(NOW as f64 + 360.0)));
        assert_eq!(caller.claims().unwrap()["aud"], AUDIENCE);
    });
}

#[test]
fn rule_01_only_algorithms_of_the_allow_list_are_used() {
    let (p256, ed) = (Signer::p256(), Signer::ed());
    let file = set_of(&[p256.jwk("p256"), ed.jwk("ed")]);
    let issuer = || Jwt::jwks_file(ISSUER, file.path()).audience(AUDIENCE);
    let jwt = issuer().build().unwrap();
    passes(ask(&jwt, &p256.token_of("p256", json!({}))));
    let jwt = issuer().algorithms([Algorithm::EdDSA]).build().unwrap();
    passes(ask(&jwt, &ed.token_of("ed", json!({}))));
    let failed = failure(ask(&jwt, &p256.token_of("p256", json!({}))));
    assert_eq!((failed.check(), failed.expected_value()), ("alg", Some("EdDSA")));
    assert_eq!(failed.received_value(), Some("ES256"));
    // Also with the `kid` of an allowed key.
    invalid_by(ask(&jwt, &p256.token_of("ed", json!({}))), "alg");
}

#[test]
fn rule_01_a_given_key_must_be_of_the_allow_list() {
    let issuer = Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    let built = issuer.algorithms([Algorithm::RS256]).build();
    let not_allowed = KeyError::NotAllowed { algorithm: Algorithm::HS256 };
    assert!(matches!(built, Err(JwtError::Key { error, .. }) if error == not_allowed));
    let issuer = Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    assert!(matches!(issuer.algorithms([]).build(), Err(JwtError::NoKeys(_))));
}

#[test]
fn keys_11_several_given_keys_for_one_algorithm_must_be_named() {
    let keys = || [Signer::secret(SECRET).key(), Signer::secret(&[7; 32]).key()];
    let built = |keys: [Key; 2]| Jwt::keys(ISSUER, keys).audience(AUDIENCE).build();
    let error = built(keys()).unwrap_err();
    let no_id = KeyError::NoId { algorithm: Algorithm::HS256 };
    assert!(
        matches!(&error, JwtError::Key { issuer, error } if issuer == ISSUER && *error == no_id)
    );
    assert!(error.to_string().contains("`Key::with_id`"), "{error}");
    let [old, new] = keys();
    let jwt = built([old.with_id("old"), new.with_id("new")]).unwrap();
    passes(ask(&jwt, &hs256().token_of("old", json!({}))));
    passes(ask(&jwt, &Signer::secret(&[7; 32]).token_of("new", json!({}))));
    invalid_by(ask(&jwt, &hs256().token(json!({}))), "kid");
}

#[test]
fn rule_02_none_is_refused_however_it_is_written() {
    each_by_secret(|jwt| {
        let payload = encoded(claims(json!({})).to_string().as_bytes());
        for alg in ["none", "None", "noNE", "NONE", ""] {
            let header = encoded(json!({ "alg": alg }).to_string().as_bytes());
            invalid_by(ask(jwt, &format!("{header}.{payload}.")), "format");
            invalid_by(ask(jwt, &format!("{header}.{payload}.AAAA")), "alg");
            invalid_by(ask(jwt, &hs256().sign(&json!({ "alg": alg }), &claims(json!({})))), "alg");
        }
    });
}

#[test]
fn rule_03_a_public_key_is_no_secret() {
    each_back_end(&[(Some("rsa"), shared_rsa()), (Some("hs"), &hs256())], &[AUDIENCE], |jwt| {
        let rsa = shared_rsa();
        passes(ask(jwt, &rsa.token_of("rsa", json!({}))));
        let pem = rsa.pem();
        for secret in [pem.as_bytes(), pem.trim().as_bytes()] {
            let forged = Signer::secret(secret);
            let failed = failure(ask(jwt, &forged.token_of("rsa", json!({}))));
            assert_eq!((failed.check(), failed.expected_value()), ("alg", Some("RS256")));
            invalid_by(ask(jwt, &forged.token_of("hs", json!({}))), "signature");
            invalid_by(ask(jwt, &forged.token(json!({}))), "signature");
        }
    });
}

#[test]
fn rule_03_a_key_verifies_by_its_own_algorithm_only() {
    // The same RSA key, and a signature that would be valid by PKCS #1.
    let rsa = shared_rsa();
    let key = Key::pem(Algorithm::PS256, rsa.pem()).unwrap();
    let issuer = Jwt::keys(ISSUER, [key]).audience(AUDIENCE);
    let jwt = issuer.algorithms([Algorithm::PS256, Algorithm::RS256]).build().unwrap();
    invalid_by(ask(&jwt, &rsa.token(json!({}))), "kid");
    let forged = rsa.sign(&json!({ "alg": "PS256" }), &claims(json!({})));
    invalid_by(ask(&jwt, &forged), "signature");
    // Also in a set, by the key's own `alg`.
    let mut key = rsa.jwk("rsa");
    key["alg"] = "PS256".into();
    let file = set_of(&[key]);
    let issuer = Jwt::jwks_file(ISSUER, file.path()).audience(AUDIENCE);
    let jwt = issuer.algorithms([Algorithm::RS256, Algorithm::PS256]).build().unwrap();
    invalid_by(ask(&jwt, &rsa.token_of("rsa", json!({}))), "alg");
}

#[test]
fn rule_04_algorithms_are_each_issuers_own() {
    let ed = Signer::ed();
    let other = "https://other.example";
    let jwt = Jwt::builder()
        .issuer(Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE))
        .issuer(Jwt::keys(other, [ed.key()]).audience(AUDIENCE))
        .build()
        .unwrap();
    passes(ask(&jwt, &hs256().token(json!({}))));
    passes(ask(&jwt, &ed.token(json!({ "iss": other }))));
    invalid_by(ask(&jwt, &hs256().token(json!({ "iss": other }))), "alg");
    invalid_by(ask(&jwt, &ed.token(json!({}))), "alg");
}

#[test]
fn rule_05_json_serialisation_and_encrypted_tokens_are_refused() {
    each_by_secret(|jwt| {
        let token = hs256().token(json!({}));
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        let json = format!(
            r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#
        );
        let parts = call(&[format!("Bearer {json}").as_bytes()], None);
        let Authenticating::Ready(outcome) = ask_parts(jwt, &parts, at(NOW as f64)) else {
            panic!()
        };
        assert_eq!(refusal(outcome).0, Reason::CredentialsMalformed);
        invalid_by(ask(jwt, &format!("{header}.{payload}.{signature}.AAAA.AAAA")), "format");
        invalid_by(ask(jwt, &format!("{header}.{payload}.{signature}.")), "format");
        let jwe = json!({ "alg": "HS256", "enc": "A128GCM" });
        invalid_by(ask(jwt, &hs256().sign(&jwe, &claims(json!({})))), "enc");
        // `b64token` allows these characters, a JWT does not.
        for odd in ["~", "+", "/", "="] {
            invalid_by(ask(jwt, &format!("{header}.{payload}.{signature}{odd}")), "format");
        }
    });
}

#[test]
fn rule_06_a_member_that_stands_twice_is_refused() {
    each_by_secret(|jwt| {
        let good = claims(json!({})).to_string();
        let header = r#"{"alg":"HS256","kid":"a","kid":"a"}"#;
        invalid_by(ask(jwt, &hs256().sign_text(header, &good)), "header");
        let twice = good.replacen('{', r#"{"sub":"mallory","#, 1);
        invalid_by(ask(jwt, &hs256().sign_text(r#"{"alg":"HS256"}"#, &twice)), "payload");
        let deeper = good.replacen('{', r#"{"realm_access":{"roles":["a"],"roles":["b"]},"#, 1);
        invalid_by(ask(jwt, &hs256().sign_text(r#"{"alg":"HS256"}"#, &deeper)), "payload");
    });
}

#[test]
fn rule_07_whatever_is_critical_is_not_understood() {
    each_by_secret(|jwt| {
        for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(["alg"]), json!("exp")] {
            let header = json!({ "alg": "HS256", "crit": crit, "exp": NOW + 300, "b64": true });
            invalid_by(ask(jwt, &hs256().sign(&header, &claims(json!({})))), "crit");
        }
        let unencoded = json!({ "alg": "HS256", "b64": false });
        invalid_by(ask(jwt, &hs256().sign(&unencoded, &claims(json!({})))), "b64");
    });
}

#[test]
fn rule_08_what_is_unknown_and_not_critical_is_ignored() {
    let header = json!({ "alg": "HS256", "x": [1], "cty": "JWT", "exp": 1, "x5t": "abc" });
    let token = hs256().sign(&header, &claims(json!({ "x": { "y": null } })));
    each_by_secret(|jwt| {
        passes(ask(jwt, &token));
    });
}

#[test]
fn rule_09_the_issuer_is_compared_to_the_letter() {
    each_by_secret(|jwt| {
        for iss in
            ["https://id.example/", "https://ID.example", "https://id.exampl", "", "id.example"]
        {
            let failed = failure(ask(jwt, &hs256().token(json!({ "iss": iss }))));
            assert_eq!((failed.check(), failed.expected_value()), ("iss", Some(ISSUER)), "{iss}");
        }
        invalid_by(ask(jwt, &hs256().token(json!({ "iss": null }))), "iss");
        invalid_by(ask(jwt, &hs256().token(json!({ "iss": [ISSUER] }))), "iss");
    });
}

#[test]
fn rule_09_a_key_is_good_for_its_own_issuer_only() {
    let (ours, theirs) = (Signer::ed(), Signer::ed());
    let other = "https://other.example";
    let issuer =
        |name, signer: &Signer| Jwt::keys(name, [signer.key().with_id("1")]).audience(AUDIENCE);
    let jwt = Jwt::builder();
    let jwt = jwt.issuer(issuer(ISSUER, &ours)).issuer(issuer(other, &theirs)).build().unwrap();
    passes(ask(&jwt, &ours.token_of("1", json!({}))));
    passes(ask(&jwt, &theirs.token_of("1", json!({ "iss": other }))));
    invalid_by(ask(&jwt, &theirs.token_of("1", json!({}))), "signature");
    invalid_by(ask(&jwt, &ours.token_of("1", json!({ "iss": other }))), "signature");
}

#[test]
fn rule_10_a_token_for_somebody_else_or_for_nobody_is_refused() {
    let audiences = ["https://orders.example", AUDIENCE];
    each_back_end(&[(None, &hs256())], &audiences, |jwt| {
        let with = |aud: Value| {
            ask(
                jwt,
                &hs256().sign(&json!({ "alg": "HS256" }), &{
                    let mut claims = claims(json!({}));
                    claims["aud"] = aud;
                    claims
                }),
            )
        };
        passes(with(json!("orders")));
        passes(with(json!("https://orders.example")));
        passes(with(json!(["billing", "orders"])));
        for aud in [
            json!("billing"),
            json!("Orders"),
            json!("orders "),
            json!("orders billing"),
            json!(""),
            json!([]),
            json!(["billing"]),
            json!(["orders", 7]),
            json!([["orders"]]),
            json!({ "orders": true }),
            json!(null),
            json!(true),
        ] {
            invalid_by(with(aud), "aud");
        }
        invalid_by(ask(jwt, &hs256().token(json!({ "aud": null }))), "aud");
        let failed = failure(ask(jwt, &hs256().token(json!({ "aud": "billing" }))));
        assert_eq!(failed.received_value(), Some("billing"));
        assert_eq!(failed.expected_value(), Some("https://orders.example or orders"));
    });
}

#[test]
fn rule_10_an_issuer_without_an_audience_can_t_be_built() {
    let issuer = || Jwt::keys(ISSUER, [hs256().key()]);
    assert!(matches!(issuer().build(), Err(JwtError::NoAudience(name)) if name == ISSUER));
    assert!(matches!(issuer().audience("").build(), Err(JwtError::NoAudience(_))));
}

#[test]
fn rule_11_exp_is_required_and_over_at_its_second_and_the_leeway() {
    each_by_secret(|jwt| {
        let with = |exp: Value, now: f64| ask_at(jwt, &hs256().token(json!({ "exp": exp })), now);
        let now = NOW as f64;
        passes(with(json!(NOW), now));
        passes(with(json!(NOW), now + 59.9));
        let expired = (Reason::TokenExpired, "exp");
        assert_eq!(refusal(with(json!(NOW), now + 60.0)), expired);
        assert_eq!(refusal(with(json!(NOW as f64 - 0.5), now + 59.5)), expired);
        passes(with(json!(NOW as f64 + 0.5), now + 60.25));
        assert_eq!(refusal(with(json!(0), now)), expired);
        passes(with(json!(253_402_300_799_u64), now));
        // Also milliseconds instead of seconds.
        for exp in [json!(253_402_300_800_u64), json!(1e300), json!(u64::MAX), json!(NOW * 1_000)] {
            invalid_by(with(exp, now), "exp");
        }
        for exp in [json!(-1), json!(-1e300), json!({ "$serde_json::private::Number": "1e3" })] {
            invalid_by(with(exp, now), "exp");
        }
        invalid_by(with(json!(null), now), "exp");
        invalid_by(with(json!((NOW + 300).to_string()), now), "exp");
    });
}

#[test]
fn rule_11_the_leeway_is_bounded() {
    let with = |leeway| {
        let issuer = Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
        issuer.leeway(leeway).build()
    };
    use std::time::Duration;
    assert!(matches!(with(Duration::from_secs(601)), Err(JwtError::Leeway { .. })));
    assert!(matches!(with(Duration::MAX), Err(JwtError::Leeway { .. })));
    let strict = with(Duration::ZERO).unwrap();
    let expires_now = hs256().token(json!({ "exp": NOW }));
    assert_eq!(refusal(ask(&strict, &expires_now)), (Reason::TokenExpired, "exp"));
    passes(ask(&with(Duration::from_secs(600)).unwrap(), &expires_now));
}

#[test]
fn rule_12_a_token_is_not_good_before_its_time() {
    each_by_secret(|jwt| {
        let with = |nbf: Value| ask(jwt, &hs256().token(json!({ "nbf": nbf })));
        passes(with(json!(NOW)));
        passes(with(json!(NOW + 60)));
        passes(with(json!(NOW as f64 - 0.5)));
        passes(with(json!(-5)));
        invalid_by(with(json!(NOW + 61)), "nbf");
        invalid_by(with(json!(NOW as f64 + 60.25)), "nbf");
        invalid_by(with(json!(1e300)), "nbf");
        invalid_by(with(json!(-1e300)), "nbf");
        invalid_by(with(json!(u64::MAX)), "nbf");
        invalid_by(with(json!("0")), "nbf");
    });
}

#[test]
fn rule_12_a_token_is_good_for_no_longer_than_it_may_be() {
    let hour = std::time::Duration::from_secs(3_600);
    let issuer = Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    let jwt = issuer.max_lifetime(hour).build().unwrap();
    let with = |changed: Value| ask(&jwt, &hs256().token(changed));
    passes(with(json!({ "iat": NOW - 1_800, "exp": NOW + 1_800 })));
    invalid_by(with(json!({ "iat": NOW - 1_800, "exp": NOW + 1_801 })), "exp");
    passes(with(json!({ "iat": null, "exp": NOW + 3_600 })));
    invalid_by(with(json!({ "iat": null, "exp": NOW + 3_661 })), "exp");
    // An `iat` in the future does not extend the life of a token.
    invalid_by(with(json!({ "iat": NOW + 7_200, "exp": NOW + 10_000 })), "exp");
    invalid_by(with(json!({ "iat": 1e300 })), "iat");
    invalid_by(with(json!({ "iat": -1 })), "iat");
    invalid_by(with(json!({ "iat": "x", "exp": NOW + 1 })), "iat");
}

#[test]
fn rule_13_typ_is_nothing_jwt_or_an_access_token() {
    let typ = |jwt: &Jwt, typ: &str| {
        ask(jwt, &hs256().sign(&json!({ "alg": "HS256", "typ": typ }), &claims(json!({}))))
    };
    let issuer = || Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    let usual = issuer().build().unwrap();
    for good in ["JWT", "jwt", "at+jwt", "application/AT+JWT"] {
        passes(typ(&usual, good));
    }
    for other in ["id+jwt", "dpop+jwt", "logout+jwt", "JOSE", "", "jwt "] {
        invalid_by(typ(&usual, other), "typ");
    }
    let exact = issuer().typ("secevent+jwt").build().unwrap();
    passes(typ(&exact, "application/secevent+jwt"));
    invalid_by(typ(&exact, "JWT"), "typ");
    invalid_by(ask(&exact, &hs256().token(json!({}))), "typ");
}

#[test]
fn rule_13_an_access_token_of_rfc_9068_has_all_that_it_must() {
    let issuer = Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    let jwt = issuer.rfc9068().build().unwrap();
    let with = |typ: &str, changed: Value| {
        let mut all = claims(json!({ "client_id": "shop", "jti": "1" }));
        for (name, value) in changed.as_object().unwrap() {
            all[name] = value.clone();
        }
        ask(&jwt, &hs256().sign(&json!({ "alg": "HS256", "typ": typ }), &all))
    };
    passes(with("at+jwt", json!({})));
    passes(with("application/at+jwt", json!({})));
    invalid_by(with("JWT", json!({})), "typ");
    for name in ["sub", "client_id", "jti"] {
        for bad in [json!(null), json!(""), json!(7)] {
            invalid_by(with("at+jwt", json!({ name: bad })), name);
        }
    }
    let without_iat = claims(json!({ "client_id": "shop", "jti": "1", "iat": null }));
    let token = hs256().sign(&json!({ "alg": "HS256", "typ": "at+jwt" }), &without_iat);
    invalid_by(ask(&jwt, &token), "iat");
}

#[test]
fn rule_13_a_token_of_kubernetes_is_a_service_accounts() {
    let issuer = Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    let jwt = issuer.kubernetes().build().unwrap();
    passes(ask(&jwt, &hs256().token(json!({ "sub": "system:serviceaccount:shop:orders" }))));
    for sub in [json!("system:node:n1"), json!("alice"), json!(null), json!(7), json!("")] {
        invalid_by(ask(&jwt, &hs256().token(json!({ "sub": sub }))), "sub");
    }
    let header = json!({ "alg": "HS256", "typ": "at+jwt" });
    let claims = claims(json!({ "sub": "system:serviceaccount:shop:orders" }));
    invalid_by(ask(&jwt, &hs256().sign(&header, &claims)), "typ");
}

#[test]
fn rule_14_keys_that_a_token_brings_or_names_are_not_used() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    each_back_end(&[(None, &ours)], &[AUDIENCE], |jwt| {
        let header = json!({
            "alg": "ES256", "jwk": theirs.jwk("x"), "jku": "https://evil.example/keys",
            "x5u": "https://evil.example/cert", "x5c": [encoded(b"certificate")], "kid": "x",
        });
        invalid_by(ask(jwt, &theirs.sign(&header, &claims(json!({})))), "signature");
        passes(ask(jwt, &ours.sign(&header, &claims(json!({})))));
    });
}

#[test]
fn rule_15_a_kid_is_compared_and_used_for_nothing_else() {
    let keys = [Signer::ed(), Signer::ed()];
    each_back_end(&[(Some("a"), &keys[0]), (Some("b"), &keys[1])], &[AUDIENCE], |jwt| {
        passes(ask(jwt, &keys[0].token_of("a", json!({}))));
        invalid_by(ask(jwt, &keys[0].token_of("b", json!({}))), "signature");
        for kid in ["A", "a ", "", "c", "../../etc/passwd", "a' OR 1=1 --", "a\0"] {
            invalid_by(ask(jwt, &keys[0].token_of(kid, json!({}))), "kid");
        }
        // With two keys a `kid` is required.
        let failed = failure(ask(jwt, &keys[0].token(json!({}))));
        assert_eq!(
            (failed.check(), failed.expected_value()),
            ("kid", Some("which of several keys"))
        );
        let number = json!({ "alg": "EdDSA", "kid": 7 });
        invalid_by(ask(jwt, &keys[0].sign(&number, &claims(json!({})))), "kid");
    });
}

#[test]
fn rule_15_a_key_of_a_set_is_named_exactly_or_not_at_all() {
    let ed = Signer::ed();
    let file = set_of(&[ed.jwk("a")]);
    let jwt = Jwt::jwks_file(ISSUER, file.path()).audience(AUDIENCE).build().unwrap();
    passes(ask(&jwt, &ed.token_of("a", json!({}))));
    passes(ask(&jwt, &ed.token(json!({}))));
    let mut nameless = ed.jwk("a");
    nameless.as_object_mut().unwrap().remove("kid");
    let file = set_of(&[nameless]);
    let jwt = Jwt::jwks_file(ISSUER, file.path()).audience(AUDIENCE).build().unwrap();
    passes(ask(&jwt, &ed.token(json!({}))));
}

#[test]
fn rule_16_secrets_and_rsa_keys_have_a_least_length() {
    for (algorithm, least) in
        [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)]
    {
        assert!(Key::secret(algorithm, vec![7; least]).is_ok());
        for bytes in [0, 1, least - 1] {
            let short = KeyError::Short { bytes, least };
            assert_eq!(Key::secret(algorithm, vec![7; bytes]).unwrap_err(), short);
        }
        let jwk =
            json!({ "kty": "oct", "alg": algorithm.as_str(), "k": encoded(&vec![7; least - 1]) });
        assert!(matches!(Key::jwk(jwk.to_string()), Err(KeyError::Short { .. })));
    }
    let n = |bytes: usize| {
        let mut n = vec![0xb5; bytes];
        n[bytes - 1] = 0x0b;
        json!({ "kty": "RSA", "n": encoded(&n), "e": "AQAB" }).to_string()
    };
    assert!(Key::jwk(n(256)).is_ok());
    assert!(matches!(Key::jwk(n(128)), Err(KeyError::Weak(_))));
    assert!(matches!(Key::jwk(n(255)), Err(KeyError::Weak(_))));
    assert!(matches!(Key::jwk(n(1_025)), Err(KeyError::Weak(_) | KeyError::Malformed(_))));
}

#[test]
fn rule_17_the_same_subject_of_two_issuers_is_two_callers() {
    let other = "https://other.example";
    let ed = Signer::ed();
    let jwt = Jwt::builder()
        .issuer(Jwt::keys(ISSUER, [ed.key()]).audience(AUDIENCE))
        .issuer(Jwt::keys(other, [ed.key()]).audience(AUDIENCE))
        .build()
        .unwrap();
    // Twice: the second time, the tokens are cached.
    for _ in 0..2 {
        let ours = passes(ask(&jwt, &ed.token(json!({}))));
        let theirs = passes(ask(&jwt, &ed.token(json!({ "iss": other }))));
        assert_eq!(ours.subject(), theirs.subject());
        assert_ne!(ours.principal(), theirs.principal());
    }
    let twice = Jwt::builder()
        .issuer(Jwt::keys(ISSUER, [ed.key()]).audience(AUDIENCE))
        .issuer(Jwt::keys(ISSUER, [hs256().key()]).audience("other"));
    assert!(matches!(twice.build(), Err(JwtError::IssuerTwice(name)) if name == ISSUER));
    invalid_by(ask(&jwt, &ed.token(json!({ "sub": 7 }))), "sub");
    invalid_by(ask(&jwt, &ed.token(json!({ "sub": "" }))), "sub");
}

#[test]
fn rule_18_what_is_too_large_or_too_deep_is_refused() {
    each_by_secret(|jwt| {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let with = |name: &str, value: &str| {
            let text =
                claims(json!({})).to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
            ask(jwt, &hs256().sign_text(r#"{"alg":"HS256"}"#, &text))
        };
        passes(with("x", &nested(31)));
        invalid_by(with("x", &nested(32)), "payload");
        passes(with("x", &format!("\"{}\"", "y".repeat(5_000))));
        assert_eq!(
            refusal(with("x", &format!("\"{}\"", "y".repeat(7_000)))).0,
            Reason::CredentialsMalformed
        );
    });
}

#[test]
fn rule_19_several_values_are_refused_even_if_all_are_good() {
    each_by_secret(|jwt| {
        let good = format!("Bearer {}", hs256().token(json!({})));
        let refused = |values: &[&[u8]]| match ask_parts(jwt, &call(values, None), at(NOW as f64)) {
            Authenticating::Ready(outcome) => refusal(outcome).0,
            Authenticating::Later(_) => panic!("it should know at once"),
        };
        assert_eq!(refused(&[good.as_bytes(), good.as_bytes()]), Reason::CredentialsMalformed);
        assert_eq!(refused(&[good.as_bytes(), b"Basic eDp5"]), Reason::CredentialsMalformed);
        let list = format!("{good}, {good}");
        assert_eq!(refused(&[list.as_bytes()]), Reason::CredentialsMalformed);
        assert_eq!(refused(&[b"Bearer"]), Reason::CredentialsMalformed);
        assert_eq!(refused(&[b"Bearer \xff"]), Reason::CredentialsMalformed);
    });
}

#[test]
fn the_scheme_may_be_lower_case_and_another_is_not_ours() {
    each_by_secret(|jwt| {
        let token = hs256().token(json!({}));
        for scheme in ["Bearer ", "bearer ", "BEARER   "] {
            let parts = call(&[format!("{scheme}{token}").as_bytes()], None);
            let Authenticating::Ready(outcome) = ask_parts(jwt, &parts, at(NOW as f64)) else {
                panic!()
            };
            passes(outcome);
        }
        for values in [&[][..], &[&b"Basic eDp5"[..]]] {
            let asked = ask_parts(jwt, &call(values, None), at(NOW as f64));
            assert!(matches!(asked, Authenticating::Ready(Outcome::Absent)));
        }
    });
}

#[test]
fn a_token_that_is_bound_to_a_key_is_not_taken_from_just_anybody() {
    each_by_secret(|jwt| {
        for cnf in [
            json!({ "x5t#S256": "A".repeat(43) }),
            json!({ "jkt": "A" }),
            json!({}),
            json!("x"),
            json!([1]),
            json!(false),
        ] {
            invalid_by(ask(jwt, &hs256().token(json!({ "cnf": cnf }))), "cnf");
        }
        let mut all = claims(json!({}));
        all["cnf"] = Value::Null;
        invalid_by(ask(jwt, &hs256().sign(&json!({ "alg": "HS256" }), &all)), "cnf");
    });
}

#[test]
fn scopes_are_where_the_issuer_puts_them() {
    let issuer = || Jwt::keys(ISSUER, [hs256().key()]).audience(AUDIENCE);
    let keycloak = issuer().scopes_at("/realm_access/roles").build().unwrap();
    let token = hs256().token(json!({ "realm_access": { "roles": ["a", "b"] }, "scope": "c" }));
    assert_eq!(passes(ask(&keycloak, &token)).scopes().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(passes(ask(&by_secret(), &token)).scopes().collect::<Vec<_>>(), ["c"]);
    let odd = hs256().token(json!({ "realm_access": { "roles": 7 } }));
    invalid_by(ask(&keycloak, &odd), "scopes_at");
    let wrong = issuer().scopes_at("roles").build();
    assert!(matches!(wrong, Err(JwtError::Setting { setting: "scopes_at", .. })));
}

#[test]
fn what_is_cheap_is_looked_at_before_the_signature() {
    each_by_secret(|jwt| {
        let forged = Signer::secret(&[7; 32]);
        for (changed, check) in [
            (json!({ "iss": "x" }), "iss"),
            (json!({ "aud": "x" }), "aud"),
            (json!({ "exp": 1 }), "exp"),
            (json!({ "nbf": NOW + 999 }), "nbf"),
            (json!({}), "signature"),
        ] {
            assert_eq!(refusal(ask(jwt, &forged.token(changed))).1, check);
        }
    });
    let several = [Signer::ed().key().with_id("a"), Signer::ed().key().with_id("b")];
    let jwt = Jwt::keys(ISSUER, several).audience(AUDIENCE).build().unwrap();
    invalid_by(ask(&jwt, &Signer::ed().token_of("c", json!({}))), "kid");
}

#[test]
fn no_failure_shows_text_of_the_token() {
    each_by_secret(|jwt| {
        let forged = Signer::secret(&[7; 32]).token(json!({ "secret": "hunter2" }));
        let long = hs256().token(json!({ "aud": "x".repeat(4_000) }));
        for token in [forged.clone(), long, forged.replace('.', "~"), format!("{forged}.x")] {
            let told = format!("{:?}", failure(ask(jwt, &token)));
            assert!(!told.contains("hunter2") && told.len() < 500, "{told}");
            for part in token.split(['.', '~']).filter(|part| part.len() > 8) {
                assert!(!told.contains(&part[..8]), "{told}");
            }
        }
        assert!(!format!("{jwt:?}{:?}", hs256().key()).contains("0123"));
    });
}
