//! A token issuer.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub const ISSUER: &str = "https://id.example";
pub const KEY_ID: &str = "key-of-the-test";

pub struct Issuer(Ed25519KeyPair);

impl Issuer {
    pub fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    /// Its JSON Web Key Set.
    pub fn keys(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": x }] }).to_string()
    }

    /// A token of Ann for this audience, valid for an hour.
    pub fn token(&self, audience: &str, scope: &str) -> String {
        self.token_of("ann", audience, scope)
    }

    /// A token of this subject for this audience, valid for an hour.
    pub fn token_of(&self, subject: &str, audience: &str, scope: &str) -> String {
        self.token_by(KEY_ID, subject, audience, scope)
    }

    /// The same, with this key id.
    pub fn token_by(&self, kid: &str, subject: &str, audience: &str, scope: &str) -> String {
        let exp = now() + 3600;
        self.sign(
            kid,
            &json!({ "iss": ISSUER, "aud": audience, "sub": subject, "exp": exp, "scope": scope }),
        )
    }

    /// A token of Ann for `orders` with the read scope, issued now and valid for this many seconds.
    pub fn token_for(&self, seconds: u64) -> String {
        let (iat, exp) = (now(), now() + seconds);
        self.sign(
            KEY_ID,
            &json!({ "iss": ISSUER, "aud": "orders", "sub": "ann", "iat": iat, "exp": exp,
            "scope": "orders.read" }),
        )
    }

    /// A token of Ann for `orders` with the read scope, bound to the certificate with this DER (RFC 8705 §3).
    pub fn token_bound_to(&self, certificate: &[u8]) -> String {
        let hash = digest(&SHA256, certificate);
        let cnf = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(hash.as_ref()) });
        self.sign(
            KEY_ID,
            &json!({ "iss": ISSUER, "aud": "orders", "sub": "ann", "exp": now() + 3600,
            "scope": "orders.read", "cnf": cnf }),
        )
    }

    fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": kid });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}
