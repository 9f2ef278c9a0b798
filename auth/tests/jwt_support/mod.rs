//! Signs valid and invalid tokens, without a JWT library, and verifies them with a verifier.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::needless_pass_by_value, clippy::print_stdout, clippy::unwrap_used)]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use tonic::transport::server::TcpConnectInfo;
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
use tonic_auth_layer::{
    Authenticate, Authenticating, Failure, Identity, Incoming, Outcome, Reason,
};
use tonic_call::Rpc;

/// The time that is passed to verifiers.
pub const NOW: u64 = 1_800_000_000;
pub const ISSUER: &str = "https://id.example";
pub const AUDIENCE: &str = "orders";
pub const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A private key.
pub enum Signer {
    Secret(Vec<u8>),
    P256(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub fn secret(secret: &[u8]) -> Self {
        Self::Secret(secret.to_vec())
    }

    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::HS256,
            Self::P256(_) => Algorithm::ES256,
            Self::Ed(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }

    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::P256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// Signs any text as header and payload.
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", encoded(header.as_bytes()), encoded(payload.as_bytes()));
        let signature = encoded(&self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A valid token, with these claims changed.
    pub fn token(&self, changed: Value) -> String {
        self.sign(&json!({ "alg": self.algorithm().as_str() }), &claims(changed))
    }

    /// A valid token with this `kid`.
    pub fn token_of(&self, kid: &str, changed: Value) -> String {
        self.sign(&json!({ "alg": self.algorithm().as_str(), "kid": kid }), &claims(changed))
    }

    /// The public key, as an issuer publishes it.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut key = match self {
            Self::Secret(secret) => json!({ "kty": "oct", "k": encoded(secret) }),
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
            }
            Self::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(key.public_key().as_ref()) })
            }
            Self::Rsa(key) => {
                let key: rsa::PublicKeyComponents<Vec<u8>> = key.public_key().into();
                json!({ "kty": "RSA", "n": encoded(&key.n), "e": encoded(&key.e) })
            }
        };
        key["kid"] = kid.into();
        key["use"] = "sig".into();
        key
    }

    pub fn pem(&self) -> String {
        let der = match self {
            Self::Secret(_) => panic!("a secret has no public half"),
            Self::P256(key) => key.public_key().as_der().unwrap(),
            Self::Ed(key) => key.public_key().as_der().unwrap(),
            Self::Rsa(key) => key.public_key().as_der().unwrap(),
        };
        pem_of("PUBLIC KEY", der.as_ref())
    }

    #[cfg(feature = "jsonwebtoken")]
    pub fn jsonwebtoken(&self) -> (jsonwebtoken::Algorithm, jsonwebtoken::DecodingKey) {
        use jsonwebtoken::{Algorithm, DecodingKey};
        let key = match self {
            Self::Secret(secret) => Ok(DecodingKey::from_secret(secret)),
            Self::P256(_) => DecodingKey::from_ec_pem(self.pem().as_bytes()),
            Self::Ed(_) => DecodingKey::from_ed_pem(self.pem().as_bytes()),
            Self::Rsa(_) => DecodingKey::from_rsa_pem(self.pem().as_bytes()),
        };
        let algorithm = match self {
            Self::Secret(_) => Algorithm::HS256,
            Self::P256(_) => Algorithm::ES256,
            Self::Ed(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        };
        (algorithm, key.unwrap())
    }

    pub fn key(&self) -> Key {
        match self {
            Self::Secret(secret) => Key::secret(Algorithm::HS256, secret),
            _ => Key::pem(self.algorithm(), self.pem()),
        }
        .unwrap()
    }
}

pub fn pem_of(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

pub fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims of a valid token with changes: `null` removes a claim.
pub fn claims(changed: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 10, "exp": NOW + 300,
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changed.as_object().unwrap().clone() {
        match value {
            Value::Null => members.remove(&name),
            value => members.insert(name, value),
        };
    }
    claims
}

/// One RSA key for all tests: generating one is slow.
pub fn shared_rsa() -> &'static Signer {
    static KEY: OnceLock<Signer> = OnceLock::new();
    KEY.get_or_init(Signer::rsa)
}

/// A verifier that trusts [`ISSUER`], verified with [`SECRET`].
pub fn by_secret() -> Jwt {
    let key = Key::secret(Algorithm::HS256, SECRET).unwrap();
    Jwt::keys(ISSUER, [key]).audience(AUDIENCE).build().unwrap()
}

/// Runs a test with each back end: the built-in one, and jsonwebtoken if that feature is enabled.
pub fn each_back_end(keys: &[(Option<&str>, &Signer)], audiences: &[&str], test: impl Fn(&Jwt)) {
    let given = keys.iter().map(|(kid, signer)| match kid {
        Some(kid) => signer.key().with_id(*kid),
        None => signer.key(),
    });
    let own = Jwt::keys(ISSUER, given);
    println!("by the built-in back end");
    test(&audiences.iter().fold(own, |own, name| own.audience(*name)).build().unwrap());
    #[cfg(feature = "jsonwebtoken")]
    {
        println!("by jsonwebtoken");
        test(&by_jsonwebtoken(keys, audiences).build().unwrap());
    }
}

/// As [`each_back_end`], with [`SECRET`] and [`AUDIENCE`].
pub fn each_by_secret(test: impl Fn(&Jwt)) {
    each_back_end(&[(None, &Signer::secret(SECRET))], &[AUDIENCE], test);
}

/// An issuer with these keys, whose tokens jsonwebtoken verifies.
#[cfg(feature = "jsonwebtoken")]
pub fn by_jsonwebtoken(
    keys: &[(Option<&str>, &Signer)],
    audiences: &[&str],
) -> tonic_auth_layer::jwt::JsonwebtokenIssuer {
    let algorithms = keys.iter().map(|(_, signer)| signer.jsonwebtoken().0).collect();
    let mut validation = jsonwebtoken::Validation { algorithms, ..Default::default() };
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(audiences);
    keys.iter().fold(Jwt::by_jsonwebtoken(validation), |issuer, (kid, signer)| match kid {
        Some(kid) => issuer.key(*kid, signer.jsonwebtoken().1),
        None => issuer.default_key(signer.jsonwebtoken().1),
    })
}

pub fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

pub fn call(values: &[&[u8]], peer: Option<&str>) -> Parts {
    let mut request = Request::builder().uri("/orders.v1.OrderService/GetOrder");
    for value in values {
        request = request.header("authorization", *value);
    }
    let mut parts = request.body(()).unwrap().into_parts().0;
    if let Some(peer) = peer {
        let remote_addr = Some(peer.parse().unwrap());
        parts.extensions.insert(TcpConnectInfo { local_addr: None, remote_addr });
    }
    parts
}

/// The result of a verifier for a call at this time.
pub fn ask_parts(jwt: &Jwt, parts: &Parts, now: SystemTime) -> Authenticating {
    let rpc = Rpc::from_head(parts);
    jwt.authenticate(&Incoming::new(parts, &rpc, now))
}

pub fn ask_from(jwt: &Jwt, token: &str, peer: Option<&str>, now: f64) -> Outcome {
    let parts = call(&[format!("Bearer {token}").as_bytes()], peer);
    match ask_parts(jwt, &parts, at(now)) {
        Authenticating::Ready(outcome) => outcome,
        Authenticating::Later(_) => panic!("it should know at once"),
    }
}

pub fn ask(jwt: &Jwt, token: &str) -> Outcome {
    ask_at(jwt, token, NOW as f64)
}

pub fn ask_at(jwt: &Jwt, token: &str, now: f64) -> Outcome {
    ask_from(jwt, token, None, now)
}

/// As [`ask`], for a verifier that may have to fetch keys first.
pub async fn ask_and_wait(jwt: &Jwt, token: &str) -> Outcome {
    let parts = call(&[format!("Bearer {token}").as_bytes()], None);
    match ask_parts(jwt, &parts, at(NOW as f64)) {
        Authenticating::Ready(outcome) => outcome,
        Authenticating::Later(found) => found.await,
    }
}

#[track_caller]
pub fn passes(outcome: Outcome) -> Identity {
    match outcome {
        Outcome::Identified { identity, .. } => identity,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Refused(failure) | Outcome::Unavailable(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// The reason for the caller, and the check for the operator.
#[track_caller]
pub fn refusal(outcome: Outcome) -> (Reason, &'static str) {
    let failure = failure(outcome);
    (failure.reason(), failure.check())
}

/// Asserts that a token is invalid because of that check.
#[track_caller]
pub fn invalid_by(outcome: Outcome, check: &str) {
    assert_eq!(refusal(outcome), (Reason::TokenInvalid, check));
}
