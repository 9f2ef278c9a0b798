//! Vectors of others, where signatures are verified and keys are read: their payloads are no claims.
//! Their contents and origin are described in `tests/data/README.md`.

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

/// The keys of a group: public as an issuer publishes them, secret as an operator gives them.
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

/// Whether a signature is taken, by the steps that a token's goes through.
fn is_verified(keys: &KeySet, token: &str) -> bool {
    let Ok(parts) = Compact::split(token) else { return false };
    let (Ok(header), Ok(_)) = (parts.header(), parts.payload()) else { return false };
    let Ok(header) = Header::read(&header) else { return false };
    let Ok(key) = keys.find(header.key_id.as_deref(), header.algorithm) else { return false };
    key.verify(&parts).is_ok()
}

/// On which tests we differ, by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differs {
    /// They are valid, and we refuse them.
    refused: Vec<u64>,
    /// They are invalid, and we take them.
    taken: Vec<u64>,
}

/// Checks a file of Wycheproof's.
fn wycheproof(name: &str, expected: &Differs) {
    let (mut differs, mut count) = (Differs::default(), 0);
    let file = data(&format!("wycheproof/{name}.json"));
    for group in file["testGroups"].as_array().expect("groups") {
        let keys = keys(group);
        for test in group["tests"].as_array().expect("tests") {
            // The others are encrypted: those are refused, whatever they are.
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
        // In 346 and 350 the token says `PS384` and the key `PS256`, and a key is for one algorithm; the
        // keys of 347 and 351 are for `ES521`, which there is not. 372 and 373 have a `?` in them that is to
        // be read as nothing, and base64url has none.
        refused: vec![346, 347, 350, 351, 372, 373],
        // They are about padding that is not in them: what is in them is a good token.
        taken: vec![367, 370],
    };
    wycheproof("json_web_signature", &expected);
}

#[test]
fn wycheproof_keys() {
    // A secret and a public key in one set, and a token of the secret's. The operator has given both, for
    // one algorithm each; in a set of an issuer's the secret is refused.
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
        // By what its curve and type say; the secret of RFC 7515 is one for HS256.
        let key = Key::jwk(example["key"].to_string()).expect("a key");
        let keys = KeySet::given(vec![key]).expect("a set");
        let token = example["token"].as_str().expect("a token");
        assert_eq!(json!(is_verified(&keys, token)), example["valid"], "{}", example["from"]);
    }
}
