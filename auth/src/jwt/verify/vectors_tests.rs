//! Third-party test vectors for signatures and keys, verified directly: their payloads are not claims. Their contents
//! and origin are described in `tests/data/README.md`.

use std::path::Path;

use serde_json::{Value, json};

use crate::jwt::keys::key::Key;
use crate::jwt::keys::key::set::KeySet;
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::token::compact::Compact;
use crate::jwt::token::header::Header;

const ALL: [Algorithm; 10] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

fn data(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let text = std::fs::read_to_string(&path).expect("the data");
    serde_json::from_str(&text).expect("JSON")
}

/// The keys of a group: public keys as published by an issuer, secret keys as configured by an operator.
fn keys(group: &Value) -> Option<KeySet> {
    let one_or_set = |key: &Value| {
        key.get("keys").and_then(Value::as_array).cloned().unwrap_or(vec![key.clone()])
    };
    if let Some(public) = group.get("public") {
        let text = json!({ "keys": one_or_set(public) }).to_string();
        return KeySet::read(text.as_bytes(), &ALL).ok().map(|set| set.keys);
    }
    let keys: Result<Vec<_>, _> =
        one_or_set(&group["private"]).iter().map(|key| Key::jwk(key.to_string())).collect();
    KeySet::given(keys.ok()?).ok()
}

/// Whether a signature is valid, by the same steps as for a token.
fn is_verified(keys: &KeySet, token: &str) -> bool {
    let Ok(parts) = Compact::split(token) else { return false };
    let (Ok(header), Ok(_)) = (parts.header(), parts.payload()) else { return false };
    let Ok(header) = Header::read(&header) else { return false };
    let Ok(key) = keys.find(header.key_id.as_deref(), header.algorithm) else { return false };
    key.verify(&parts).is_ok()
}

/// The numbers of the tests whose expected result differs from ours.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differs {
    /// Valid, but refused.
    refused: Vec<u64>,
    /// Invalid, but accepted.
    taken: Vec<u64>,
}

/// Checks a file of Wycheproof.
fn wycheproof(name: &str, expected: &Differs) {
    let (mut differs, mut count) = (Differs::default(), 0);
    let file = data(&format!("wycheproof/{name}.json"));
    for group in file["testGroups"].as_array().expect("groups") {
        let keys = keys(group);
        for test in group["tests"].as_array().expect("tests") {
            // The others are encrypted, and always refused.
            let (token, valid) = match test.get("jws").or(test.get("jwe")) {
                Some(Value::String(token)) => (token.clone(), test["result"] == "valid"),
                Some(token) => (token.to_string(), false),
                None => panic!("{test}"),
            };
            let valid = valid && test.get("jws").is_some();
            let verified = keys.as_ref().is_some_and(|keys| is_verified(keys, &token));
            count += 1;
            let number = test["tcId"].as_u64().expect("a number");
            match (valid, verified) {
                (true, false) => differs.refused.push(number),
                (false, true) => differs.taken.push(number),
                _ => {}
            }
        }
    }
    assert_eq!(count, file["numberOfTests"].as_u64().expect("a number"));
    assert_eq!(differs, *expected, "{name}");
}

#[test]
fn wycheproof_signatures() {
    let expected = Differs {
        // In 346 and 350 the token has `PS384` and the key `PS256`, and a key is for one algorithm; the keys of 347
        // and 351 are for `ES521`, which does not exist. 372 and 373 contain a `?` that a decoder should ignore, and
        // base64url has no `?`.
        refused: vec![346, 347, 350, 351, 372, 373],
        // They test padding, but contain none: each is a valid token.
        taken: vec![367, 370],
    };
    wycheproof("json_web_signature", &expected);
}

#[test]
fn wycheproof_keys() {
    // A secret key and a public key in one set, and a token signed with the secret. The operator has configured both,
    // each for one algorithm; in the set of an issuer, the secret key is refused.
    wycheproof("json_web_key", &Differs { refused: vec![], taken: vec![1] });
}

#[test]
fn wycheproof_crypto() {
    // The same set.
    wycheproof("json_web_crypto", &Differs { refused: vec![], taken: vec![47] });
}

#[test]
fn examples_of_the_rfcs() {
    let examples = data("rfc.json");
    let examples = examples.as_array().expect("examples");
    assert_eq!(examples.len(), 6);
    for example in examples {
        // The algorithm is derived from curve and type; the secret of RFC 7515 is for HS256.
        let key = Key::jwk(example["key"].to_string()).expect("a key");
        let keys = KeySet::given(vec![key]).expect("a set");
        let token = example["token"].as_str().expect("a token");
        assert_eq!(json!(is_verified(&keys, token)), example["valid"], "{}", example["from"]);
    }
}
