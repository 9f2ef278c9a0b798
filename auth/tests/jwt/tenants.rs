//! One issuer with many tenants, like Microsoft Entra.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;
use tonic_auth_layer::Outcome;
use tonic_auth_layer::jwt::{FetchResult, Issuer, Jwt, JwtBuilder, JwtError, Key};

use crate::jwt_support::*;

const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
const A: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
const B: &str = "bbbbcccc-1111-dddd-2222-eeee3333ffff";
/// A tenant that is not allowed.
const C: &str = "ccccdddd-2222-eeee-3333-ffff4444aaaa";

fn name_of(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

fn tenants(keys: impl IntoIterator<Item = Key>) -> Issuer {
    Jwt::keys(TEMPLATE, keys).tenants("tid", [A, B]).audience(AUDIENCE)
}

/// A token of that tenant, with these claims changed.
fn of(signer: &Signer, kid: &str, tenant: &str, changed: Value) -> String {
    let mut claims = json!({ "iss": name_of(tenant), "tid": tenant, "ver": "2.0" });
    claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    signer.token_of(kid, claims)
}

/// A key as Entra publishes it.
fn jwk(signer: &Signer, kid: &str, issuer: Value) -> Value {
    let mut key = signer.jwk(kid);
    key["issuer"] = issuer;
    key
}

fn key(signer: &Signer, kid: &str, issuer: Value) -> Key {
    Key::jwk(jwk(signer, kid, issuer).to_string()).unwrap()
}

fn is_cached(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Identified { cached: true, .. })
}

#[test]
fn two_tenants_callers_of_one_name_are_two_principals() {
    let jwt = tenants([key(shared_rsa(), "k", json!(TEMPLATE))]).build().unwrap();
    for cached in [false, true] {
        for tenant in [A, B] {
            let outcome = ask(&jwt, &of(shared_rsa(), "k", tenant, json!({ "sub": "ann" })));
            assert_eq!(is_cached(&outcome), cached);
            let caller = passes(outcome);
            assert_eq!(caller.issuer(), Some(name_of(tenant).as_str()));
            assert_eq!(&*caller.principal(), format!("{}#ann", name_of(tenant)));
        }
    }
}

#[test]
fn a_tenant_that_is_not_allowed_is_refused_however_it_is_named() {
    let jwt = tenants([key(shared_rsa(), "k", json!(TEMPLATE))]).build().unwrap();
    let asked = |tenant: &str, changed| ask(&jwt, &of(shared_rsa(), "k", tenant, changed));
    let failed = failure(asked(C, json!({})));
    assert_eq!((failed.check(), failed.received_value()), ("tenant", Some(C)));
    assert_eq!(failed.expected_value(), Some(format!("{A} or {B}").as_str()));
    // Its claims do not change that.
    invalid_by(asked(C, json!({ "tid": A })), "tenant");
    invalid_by(asked(A, json!({ "tid": C })), "tenant");
    invalid_by(asked(A, json!({ "tid": B })), "tenant");
    for tid in [json!(null), json!(""), json!(7), json!([A]), json!({}), json!(A.to_uppercase())] {
        invalid_by(asked(A, json!({ "tid": tid })), "tenant");
    }
    invalid_by(asked(&A.to_uppercase(), json!({})), "tenant");
    // A name that a URL parser would normalize is refused as well.
    for odd in
        ["", "..", &format!("{C}/../{A}"), &format!("{A}/v2.0/x"), "{tenantid}", "a%2f", "a b"]
    {
        let failed = failure(asked(odd, json!({})));
        assert_eq!(failed.check(), "iss", "{odd}");
        assert_eq!(failed.expected_value(), Some(TEMPLATE));
    }
    invalid_by(asked(A, json!({ "iss": TEMPLATE })), "iss");
    invalid_by(asked(A, json!({ "iss": format!("{}/", name_of(A)) })), "iss");
    // All other checks are the same as for any issuer.
    invalid_by(asked(A, json!({ "aud": "billing" })), "aud");
    invalid_by(asked(A, json!({ "aud": null })), "aud");
    invalid_by(ask(&jwt, &of(&Signer::rsa(), "k", A, json!({}))), "signature");
}

#[test]
fn a_key_signs_tokens_of_its_own_issuer_alone() {
    let [any, mine, others] = [Signer::ed(), Signer::ed(), Signer::ed()];
    let [all, odd, version_1] = [Signer::ed(), Signer::ed(), Signer::ed()];
    let sts = "https://sts.windows.net/{tenantid}/";
    let jwt = tenants([
        Key::jwk(any.jwk("any").to_string()).unwrap(),
        key(&all, "all", json!(TEMPLATE)),
        key(&mine, "mine", json!(name_of(A))),
        key(&others, "others", json!(name_of(C))),
        key(&odd, "odd", json!(7)),
        key(&version_1, "version 1", json!(sts)),
    ]);
    let jwt = jwt.build().unwrap();
    passes(ask(&jwt, &of(&any, "any", A, json!({}))));
    passes(ask(&jwt, &of(&all, "all", A, json!({}))));
    passes(ask(&jwt, &of(&all, "all", B, json!({}))));
    passes(ask(&jwt, &of(&mine, "mine", A, json!({}))));
    let refused = [(&mine, "mine", B), (&others, "others", A), (&odd, "odd", A)];
    for (signer, kid, tenant) in refused.into_iter().chain([(&version_1, "version 1", A)]) {
        // It is not cached.
        for _ in 0..2 {
            let failed = failure(ask(&jwt, &of(signer, kid, tenant, json!({}))));
            assert_eq!(failed.check(), "key_issuer", "{kid}");
            assert_eq!(failed.received_value(), Some(name_of(tenant).as_str()));
        }
    }
    // `issuer` of a key is ignored without tenants: it is not in any standard.
    let plain = Jwt::keys(ISSUER, [key(&mine, "mine", json!(name_of(A)))]).audience(AUDIENCE);
    passes(ask(&plain.build().unwrap(), &mine.token_of("mine", json!({}))));
}

#[test]
fn tenants_have_no_part_in_each_others_rules() {
    let for_c =
        Jwt::keys(name_of(C), [key(shared_rsa(), "k", json!(name_of(C)))]).audience("billing");
    let for_a_and_b = tenants([key(shared_rsa(), "k", json!(TEMPLATE))]);
    let in_any_order = [vec![for_c.clone(), for_a_and_b.clone()], vec![for_a_and_b, for_c]];
    for issuers in in_any_order {
        let jwt = issuers.into_iter().fold(Jwt::builder(), JwtBuilder::issuer);
        let jwt = jwt.build().unwrap();
        passes(ask(&jwt, &of(shared_rsa(), "k", A, json!({}))));
        passes(ask(&jwt, &of(shared_rsa(), "k", C, json!({ "aud": "billing" }))));
        invalid_by(ask(&jwt, &of(shared_rsa(), "k", A, json!({ "aud": "billing" }))), "aud");
        invalid_by(ask(&jwt, &of(shared_rsa(), "k", C, json!({}))), "aud");
    }
}

fn write(path: &Path, keys: &[Value]) {
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

/// Guards against: a cached token that stays valid after the issuer of its key has changed.
#[tokio::test]
async fn a_remembered_token_is_looked_at_again_when_its_key_becomes_another_tenants() {
    let (signer, other) = (Signer::ed(), Signer::ed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, &[jwk(&signer, "k", json!(TEMPLATE))]);
    let issuer = Jwt::jwks_file(TEMPLATE, &path).tenants("tid", [A, B]).audience(AUDIENCE);
    let (told, mut results) = unbounded_channel();
    let jwt = Jwt::builder().issuer(issuer.refresh_every(Duration::from_millis(1)));
    let jwt = jwt.on_keys(move |event| {
        let _ = told.send((event.result, event.keys));
    });
    let jwt = jwt.build().unwrap();
    let tokens = [A, B].map(|tenant| of(&signer, "k", tenant, json!({})));
    for token in &tokens {
        passes(ask(&jwt, token));
        assert!(is_cached(&ask(&jwt, token)));
    }
    // With one more key, to distinguish this set from the previous one.
    write(&path, &[jwk(&signer, "k", json!(name_of(A))), other.jwk("other")]);
    while results.recv().await.unwrap() != (FetchResult::Ok, 2) {}
    passes(ask(&jwt, &tokens[0]));
    for _ in 0..2 {
        invalid_by(ask(&jwt, &tokens[1]), "key_issuer");
    }
}

#[test]
fn one_key_that_a_set_has_for_two_issuers_signs_the_tokens_of_both() {
    let (signer, other) = (Signer::ed(), Signer::ed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let both = [name_of(A), name_of(C)].map(|issuer| jwk(&signer, "k", json!(issuer)));
    let twice = [jwk(&other, "twice", json!(name_of(A))), jwk(&signer, "twice", json!(name_of(B)))];
    write(&path, &[both.as_slice(), &twice].concat());
    let jwt = Jwt::jwks_file(TEMPLATE, &path).tenants("tid", [A, B, C]).audience(AUDIENCE);
    let jwt = jwt.build().unwrap();
    passes(ask(&jwt, &of(&signer, "k", A, json!({}))));
    passes(ask(&jwt, &of(&signer, "k", C, json!({}))));
    invalid_by(ask(&jwt, &of(&signer, "k", B, json!({}))), "key_issuer");
}

#[test]
fn tenants_that_can_never_match_are_an_error_where_they_are_written() {
    let keys = || [shared_rsa().key()];
    let of = |name: &str, allowed: &[&str]| {
        Jwt::keys(name, keys()).audience(AUDIENCE).tenants("tid", allowed.iter().copied()).build()
    };
    assert!(matches!(of(TEMPLATE, &[]), Err(JwtError::NoTenants(name)) if name == TEMPLATE));
    let setting = |built: Result<Jwt, JwtError>| match built {
        Err(JwtError::Setting { setting: "tenants", problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(setting(of("https://id.example", &[A])).contains("{tenantid}"));
    assert!(setting(of("{tenantid}/{tenantid}", &[A])).contains("{tenantid}"));
    for odd in ["", "a/../b", "..", "a b", "{tenantid}"] {
        assert!(setting(of(TEMPLATE, &[A, odd])).contains("is no tenant"), "{odd}");
    }
    let nameless = Jwt::keys(TEMPLATE, keys()).audience(AUDIENCE).tenants("", [A]).build();
    assert!(setting(nameless).contains("no name"));
    let without = Jwt::keys(TEMPLATE, keys()).audience(AUDIENCE).build();
    assert!(setting(without).contains("no tenants"));
    let no_audience = Jwt::keys(TEMPLATE, keys()).tenants("tid", [A]).build();
    assert!(matches!(no_audience, Err(JwtError::NoAudience(_))));
    #[cfg(feature = "http")]
    {
        let found = Jwt::discover(TEMPLATE).audience(AUDIENCE).tenants("tid", [A]).build();
        assert!(setting(found).contains("jwks_url"));
    }
    // It is ambiguous which rules apply to tokens of that tenant.
    let a = || Jwt::keys(name_of(A), keys()).audience(AUDIENCE);
    let both = || Jwt::keys(TEMPLATE, keys()).audience(AUDIENCE).tenants("tid", [A, B]);
    for twice in [[a(), both()], [both(), a()], [both(), both()]] {
        let [one, two] = twice;
        let built = Jwt::builder().issuer(one).issuer(two).build();
        assert!(matches!(built, Err(JwtError::IssuerTwice(name)) if name == name_of(A)));
    }
}
