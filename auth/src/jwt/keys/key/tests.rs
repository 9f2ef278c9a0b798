//! Which keys of a set are accepted (RFC 7517, and the requirements of RFC 8725bis for keys), and which key is found
//! for a token.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::set::{KeySet, MAX_KEYS, NoKey, ReadSet};
use super::{Key, KeyError};
use crate::jwt::token::algorithm::Algorithm;

const ALL: [Algorithm; 6] = [
    Algorithm::PS256,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::HS256,
];

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn p256(kid: &str) -> Value {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let point = pair.public_key().as_ref();
    let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y })
}

fn rsa(bytes: usize, e: &str) -> Value {
    let mut n = vec![0xb5; bytes];
    n[bytes - 1] = 0x0b;
    json!({ "kty": "RSA", "kid": "rsa", "n": encoded(&n), "e": e })
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn read(keys: &[Value]) -> ReadSet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &ALL).expect("a set")
}

/// The error of the second of two keys; the first is always accepted.
fn refused(key: Value) -> Option<KeyError> {
    let set = read(&[p256("good"), key]);
    assert!(set.keys.find(Some("good"), Algorithm::ES256).is_ok());
    let mut refused = set.refused.into_iter();
    match (refused.next(), refused.next()) {
        (None, _) => None,
        (Some((1, why)), None) => Some(why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_01_a_bad_key_is_refused_and_not_the_set() {
    for (key, why) in [
        (json!({ "kty": "oct", "k": encoded(&[7; 32]) }), KeyError::Secret),
        (json!({ "kty": "oct" }), KeyError::Secret),
        (with(p256("x"), "d", json!("AAAA")), KeyError::Secret),
        (with(p256("x"), "use", json!("enc")), KeyError::OtherUse),
        (with(p256("x"), "use", json!("SIG")), KeyError::OtherUse),
        (with(p256("x"), "key_ops", json!(["sign"])), KeyError::OtherUse),
        (with(p256("x"), "key_ops", json!([])), KeyError::OtherUse),
        (with(p256("x"), "key_ops", json!(["sign, verify"])), KeyError::OtherUse),
    ] {
        assert_eq!(refused(key.clone()), Some(why), "{key}");
    }
    let mismatch = |algorithm| Some(KeyError::Mismatch { algorithm });
    assert_eq!(refused(with(p256("x"), "alg", json!("RS256"))), mismatch(Algorithm::RS256));
    assert_eq!(refused(with(p256("x"), "alg", json!("ES384"))), mismatch(Algorithm::ES384));
    assert_eq!(refused(with(p256("x"), "alg", json!("HS256"))), mismatch(Algorithm::HS256));
    assert_eq!(refused(with(rsa(256, "AQAB"), "alg", json!("ES256"))), mismatch(Algorithm::ES256));
    let off_the_curve = with(p256("x"), "x", json!(encoded(&[7; 32])));
    assert_eq!(refused(off_the_curve), mismatch(Algorithm::ES256));
    for (kty, crv) in [("EC", "secp256k1"), ("EC", "P-224"), ("OKP", "Ed448"), ("OKP", "X25519")] {
        let odd = with(with(p256("x"), "crv", json!(crv)), "kty", json!(kty));
        assert!(matches!(refused(odd), Some(KeyError::Unsupported(_))), "{kty} {crv}");
    }
    for odd in [
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }),
        with(p256("x"), "alg", json!("RSA-OAEP")),
        with(p256("x"), "alg", json!("none")),
        with(p256("x"), "kty", json!("ec")),
    ] {
        assert!(matches!(refused(odd.clone()), Some(KeyError::Unsupported(_))), "{odd}");
    }
    for odd in [
        json!(null),
        json!("x"),
        json!([]),
        json!({}),
        with(p256("x"), "kty", json!(7)),
        with(p256("x"), "kid", json!(7)),
        with(p256("x"), "use", json!(null)),
        with(p256("x"), "alg", json!(["ES256"])),
        with(p256("x"), "key_ops", json!("verify")),
        with(p256("x"), "y", json!("")),
        with(p256("x"), "y", json!("AAAA=")),
        with(p256("x"), "x", json!(encoded(&[7; 33]))),
        json!({ "kty": "EC", "crv": "P-256" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(&[7; 31]) }),
    ] {
        assert!(matches!(refused(odd.clone()), Some(KeyError::Malformed(_))), "{odd}");
    }
}

#[test]
fn rule_16_weak_rsa_keys_are_refused() {
    assert_eq!(refused(rsa(256, "AQAB")), None);
    assert_eq!(refused(rsa(256, "Aw")), None, "3 is an exponent");
    for weak in
        [rsa(128, "AQAB"), rsa(255, "AQAB"), rsa(256, "AQ"), rsa(256, "AQAA"), rsa(256, "AA")]
    {
        assert!(matches!(refused(weak.clone()), Some(KeyError::Weak(_))), "{weak}");
    }
    assert!(refused(rsa(1_025, "AQAB")).is_some());
    assert!(refused(rsa(256, "AQAAAAAAAAAAAQ")).is_some(), "an exponent that costs too much");
    // A leading zero byte, which some issuers write for the sign, does not make a modulus longer.
    let mut n = vec![0xb5; 128];
    n[127] = 0x0b;
    n.splice(..0, [0; 128]);
    let padded = json!({ "kty": "RSA", "n": encoded(&n), "e": "AQAB" });
    assert!(matches!(refused(padded), Some(KeyError::Weak(_))));
}

#[test]
fn rule_16_rsa_keys_of_a_faulty_generator_are_refused_as_jwk_and_as_pem() {
    // Congruent to 1, that is 65537 to the power of 0, modulo each of the primes.
    let product: u128 = super::roca::PRIMES.iter().map(|&prime| u128::from(prime)).product();
    let rest = (0..2_047).fold(1, |rest, _| rest * 2 % (product * 2));
    let mut n = vec![0; 256];
    n[0] = 0x80;
    n[240..].copy_from_slice(&(product * 2 - rest + 1).to_be_bytes());
    let taken = |n: &[u8]| {
        let components = RsaPublicKeyComponents { n, e: &[1, 0, 1] };
        let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).expect("a key");
        let der = STANDARD.encode(key.as_der().expect("a key").as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let jwk = json!({ "kty": "RSA", "n": encoded(n), "e": "AQAB" });
        (refused(jwk), Key::pem(Algorithm::RS256, pem).err())
    };
    let faulty = KeyError::Weak("an RSA key as the ROCA fault makes them");
    assert_eq!(taken(&n), (Some(faulty.clone()), Some(faulty)));
    n[255] += 2;
    assert_eq!(taken(&n), (None, None));
}

/// Guards against: a key with which a signature of zeros is valid for every message.
#[test]
fn rule_16_ed25519_keys_of_small_order_are_refused_as_jwk_and_as_pem() {
    // RFC 8410 §4: the bytes before the point.
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let taken = |point: &[u8]| {
        let der = STANDARD.encode([&PREFIX, point].concat());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(point) });
        (
            refused(jwk.clone()),
            Key::jwk(jwk.to_string()).err(),
            Key::pem(Algorithm::EdDSA, pem).err(),
        )
    };
    let weak = Some(KeyError::Weak("an Ed25519 key of small order"));
    let points: Vec<_> = super::small_order::all().collect();
    assert_eq!(points.len(), 14);
    for point in points {
        assert_eq!(taken(&point), (weak.clone(), weak.clone(), weak.clone()), "{point:x?}");
    }
    // RFC 8032 §7.1, test 1.
    let good = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(taken(&URL_SAFE_NO_PAD.decode(good).expect("base64")), (None, None, None));
}

#[test]
fn keys_02_what_a_key_says_of_itself_may_be_left_out() {
    for good in [
        p256("x"),
        with(p256("x"), "use", json!("sig")),
        with(p256("x"), "key_ops", json!(["sign", "verify"])),
        with(p256("x"), "alg", json!("ES256")),
        with(p256("x"), "x5c", json!(["AAAA"])),
    ] {
        assert_eq!(refused(good.clone()), None, "{good}");
    }
}

#[test]
fn an_rsa_key_that_says_no_algorithm_is_for_the_first_that_is_allowed() {
    let set = read(&[rsa(256, "AQAB")]);
    assert_eq!(set.keys.keys()[0].algorithm(), Algorithm::PS256);
    let said = read(&[with(rsa(256, "AQAB"), "alg", json!("RS256"))]);
    assert_eq!(said.keys.keys()[0].algorithm(), Algorithm::RS256);
    let text = json!({ "keys": [rsa(256, "AQAB")] }).to_string();
    let none = KeySet::read(text.as_bytes(), &[Algorithm::ES256]).expect("a set");
    assert_eq!(none.refused, [(0, KeyError::NotAllowed { algorithm: Algorithm::RS256 })]);
}

#[test]
fn keys_03_keys_of_one_kid_are_all_refused_unless_they_are_one_key() {
    let (a, b, c) = (p256("same"), p256("same"), p256("other"));
    let set = read(&[a.clone(), c.clone(), b.clone(), a.clone()]);
    let places: Vec<_> = set.refused.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 2, 3]);
    assert!(set.refused.iter().all(|(_, why)| *why == KeyError::DuplicateId));
    assert_eq!(set.keys.find(Some("same"), Algorithm::ES256).err(), Some(NoKey::Unknown));
    assert!(set.keys.find(Some("other"), Algorithm::ES256).is_ok());

    let set = read(&[a.clone(), a.clone()]);
    assert!(set.refused.is_empty());
    assert_eq!(set.keys.keys().len(), 1);
    // A key that is refused for another reason does not block its `kid`.
    let set = read(&[a, with(b, "use", json!("enc"))]);
    assert!(set.keys.find(Some("same"), Algorithm::ES256).is_ok());
}

#[test]
fn keys_01_a_key_with_a_member_twice_is_refused_and_not_the_set() {
    let good = p256("good").to_string();
    let bad = p256("bad").to_string().replacen('{', r#"{"kid":"bad","#, 1);
    let text = format!(r#"{{"keys":[{bad},{good}]}}"#);
    let set = KeySet::read(text.as_bytes(), &ALL).expect("a set");
    assert_eq!(set.refused.len(), 1);
    assert!(set.keys.find(Some("good"), Algorithm::ES256).is_ok());
}

#[test]
fn keys_08_what_is_no_set_is_an_error() {
    for text in
        ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>", "{\"keys\":["]
    {
        assert!(KeySet::read(text.as_bytes(), &ALL).is_err(), "{text}");
    }
    let many: Vec<_> = (0..=MAX_KEYS).map(|_| json!({})).collect();
    let set = |keys: &[Value]| {
        let text = json!({ "keys": keys }).to_string();
        KeySet::read(text.as_bytes(), &ALL).map(|set| set.refused.len())
    };
    assert_eq!(set(&many[1..]), Ok(100));
    assert_eq!(set(&many), Err("more than 100 keys"));
}

#[test]
fn keys_11_a_token_without_a_kid_gets_a_key_only_if_there_is_one_for_its_algorithm() {
    let one = read(&[p256("a"), rsa(256, "AQAB")]);
    assert!(one.keys.find(None, Algorithm::ES256).is_ok());
    assert!(one.keys.find(None, Algorithm::PS256).is_ok());
    assert_eq!(one.keys.find(None, Algorithm::ES384).err(), Some(NoKey::None));
    let two = read(&[p256("a"), p256("b")]);
    assert_eq!(two.keys.find(None, Algorithm::ES256).err(), Some(NoKey::Several));
    assert_eq!(two.keys.find(Some("c"), Algorithm::ES256).err(), Some(NoKey::Unknown));
    let wrong = two.keys.find(Some("a"), Algorithm::PS256).err();
    assert_eq!(wrong, Some(NoKey::Other(Algorithm::ES256)));
}

#[test]
fn rule_15_a_key_of_a_set_that_has_no_name_serves_no_token_that_names_one() {
    let mut nameless = p256("a");
    nameless.as_object_mut().expect("an object").remove("kid");
    let set = read(&[nameless]);
    assert!(set.keys.find(None, Algorithm::ES256).is_ok());
    assert_eq!(set.keys.find(Some("a"), Algorithm::ES256).err(), Some(NoKey::Unknown));
}

#[test]
fn a_given_key_without_a_name_serves_whatever_name_a_token_has() {
    let key = || Key::jwk(p256("a").to_string()).expect("a key");
    let secret = |byte| Key::secret(Algorithm::HS256, [byte; 32]).expect("a key");
    let set = KeySet::given(vec![key(), secret(1)]).expect("a set");
    assert!(set.find(Some("x"), Algorithm::HS256).is_ok());
    assert_eq!(set.find(Some("x"), Algorithm::ES256).err(), Some(NoKey::Unknown));
    let twice = KeySet::given(vec![key(), key()]);
    assert_eq!(twice.err(), Some(KeyError::DuplicateId));
}

#[test]
fn keys_11_of_given_keys_without_a_name_there_is_one_for_an_algorithm() {
    let secret = |byte| Key::secret(Algorithm::HS256, [byte; 32]).expect("a key");
    let longer = Key::secret(Algorithm::HS512, [1; 64]).expect("a key");
    let given = |keys: &[Key]| KeySet::given(keys.to_vec());
    let several = Some(KeyError::NoId { algorithm: Algorithm::HS256 });
    assert_eq!(given(&[secret(1), longer.clone(), secret(2)]).err(), several);
    assert_eq!(given(&[secret(1), secret(1)]).err(), several, "though they are one");
    assert!(given(&[secret(1).with_id("a"), secret(2)]).is_ok(), "in either order");
    // Tokens with a `kid` distinguish a key with a `kid` from a key without one.
    let set = given(&[secret(1), secret(2).with_id("a"), longer]).expect("a set");
    let found = |id| set.find(id, Algorithm::HS256).map(|key| *key.fingerprint());
    assert_eq!(found(Some("a")), Ok(*secret(2).with_id("a").fingerprint()));
    assert_eq!(found(Some("b")), Ok(*secret(1).fingerprint()));
    assert_eq!(found(None), Err(NoKey::Several));
    assert!(set.find(None, Algorithm::HS512).is_ok());
}

#[test]
fn keys_04_keys_are_the_same_if_material_algorithm_and_name_are() {
    let secret = |algorithm| Key::secret(algorithm, [7; 64]).expect("a key");
    let hs256 = secret(Algorithm::HS256);
    assert_eq!(hs256.fingerprint(), secret(Algorithm::HS256).fingerprint());
    assert_ne!(hs256.fingerprint(), secret(Algorithm::HS512).fingerprint());
    assert_ne!(hs256.fingerprint(), hs256.clone().with_id("a").fingerprint());
    assert_ne!(hs256.clone().with_id("b").fingerprint(), hs256.with_id("a").fingerprint());
}

#[test]
fn given_keys_may_be_secret_and_are_held_to_the_same_rules() {
    let oct = |more: Value| {
        let mut key = json!({ "kty": "oct", "k": encoded(&[7; 48]), "kid": "s" });
        key.as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().expect("an object"));
        Key::jwk(key.to_string())
    };
    assert_eq!(oct(json!({})).map(|key| key.algorithm()), Ok(Algorithm::HS256));
    assert_eq!(oct(json!({ "alg": "HS384" })).map(|key| key.algorithm()), Ok(Algorithm::HS384));
    assert!(matches!(oct(json!({ "alg": "HS512" })), Err(KeyError::Short { .. })));
    assert!(matches!(oct(json!({ "alg": "RS256" })), Err(KeyError::Mismatch { .. })));
    assert_eq!(oct(json!({ "use": "enc" })).err(), Some(KeyError::OtherUse));
    assert_eq!(oct(json!({ "key_ops": ["sign"] })).err(), Some(KeyError::OtherUse));
    let pair = with(p256("x"), "d", json!("AAAA"));
    assert_eq!(Key::jwk(pair.to_string()).err(), Some(KeyError::Secret));
    for pem in ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert!(Key::pem(Algorithm::ES256, pem).is_err(), "{pem}");
        assert!(Key::pem(Algorithm::RS256, pem).is_err(), "{pem}");
        assert!(Key::pem(Algorithm::HS256, pem).is_err(), "{pem}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_set_or_none(bytes in proptest::collection::vec(0_u8.., 0..200), key in ".{0,40}") {
        let _ = KeySet::read(&bytes, &ALL);
        let _ = KeySet::read(format!(r#"{{"keys":[{{"kty":"RSA","n":"{key}","e":"AQAB"}},{key}]}}"#).as_bytes(), &ALL);
        let _ = KeySet::read(json!({ "keys": [{ "kty": key, "kid": key }, key] }).to_string().as_bytes(), &ALL);
    }
}
