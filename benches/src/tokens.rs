//! Tokens, and the keys that verify them.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use jsonwebtoken::{DecodingKey, Validation, decode};
use tonic::service::InterceptorLayer;
use tonic::{Request, Status};
use tonic_auth_layer::AuthLayer;
use tonic_auth_layer::jwt::{Algorithm, Jwt, JwtBuilder, Key};

/// The header in which a proxy names the caller.
pub const CALLER: &str = "x-forwarded-for";

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "orders";

/// The year 2100: tokens do not expire during a bench.
const EXPIRES: u64 = 4_102_444_800;

/// Signs a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// An issuer: its key, and the tokens that it signs.
pub struct Issuer {
    algorithm: Algorithm,
    /// The secret, or the public key in PEM.
    key: Vec<u8>,
    sign: Sign,
    /// The signature of another message, which is valid for no token.
    false_signature: String,
}

impl Issuer {
    /// One issuer for each of the usual algorithms.
    pub(crate) fn all() -> Vec<Self> {
        [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
            .into_iter()
            .map(Self::by)
            .collect()
    }

    /// An issuer that signs with ES256, the usual algorithm that is the most expensive to verify.
    pub fn es256() -> Self {
        Self::by(Algorithm::ES256)
    }

    /// An issuer that signs with HS256, the algorithm that is the cheapest to verify.
    pub(crate) fn hs256() -> Self {
        Self::by(Algorithm::HS256)
    }

    /// An issuer with a new key for this algorithm.
    ///
    /// # Panics
    ///
    /// For an algorithm that is not in [`all`](Self::all).
    fn by(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let made = "a key is made and signs";
        let (key, sign): (_, Sign) = match algorithm {
            Algorithm::HS256 => {
                let secret = b"0123456789abcdef0123456789abcdef".to_vec();
                let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
                (secret, Box::new(move |message| hmac::sign(&key, message).as_ref().to_vec()))
            }
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect(made);
                let key = pem(pair.public_key().as_der().expect(made).as_ref());
                let sign = move |message: &[u8]| {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                    signed.expect(made);
                    signature
                };
                (key, Box::new(sign))
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(made);
                let key = pem(pair.public_key().as_der().expect(made).as_ref());
                let sign = move |message: &[u8]| {
                    pair.sign(&random, message).expect(made).as_ref().to_vec()
                };
                (key, Box::new(sign))
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().expect(made);
                let key = pem(pair.public_key().as_der().expect(made).as_ref());
                (key, Box::new(move |message| pair.sign(message).as_ref().to_vec()))
            }
            other => panic!("{other} is not measured"),
        };
        let false_signature = encoded(&sign(b"no token"));
        Self { algorithm, key, sign, false_signature }
    }

    /// An `authorization` header with a valid token.
    pub fn authorization(&self, subject: &str) -> HeaderValue {
        self.signed(&self.message(subject))
    }

    /// The same, with a token that is bound to a certificate (RFC 8705).
    pub(crate) fn bound_authorization(&self, subject: &str, certificate: &[u8]) -> HeaderValue {
        let hash = encoded(digest::digest(&digest::SHA256, certificate).as_ref());
        self.signed(&self.message_with(subject, &format!(r#","cnf":{{"x5t#S256":"{hash}"}}"#)))
    }

    fn signed(&self, message: &str) -> HeaderValue {
        bearer(message, &encoded(&(self.sign)(message.as_bytes())))
    }

    /// An `authorization` header with a forged token: it differs from a valid one only in its signature.
    pub fn forged(&self, subject: &str) -> HeaderValue {
        bearer(&self.message(subject), &self.false_signature)
    }

    /// The part of a token that is signed.
    fn message(&self, subject: &str) -> String {
        self.message_with(subject, "")
    }

    /// The same, with more claims.
    fn message_with(&self, subject: &str, claims: &str) -> String {
        let header = format!(r#"{{"alg":"{}","typ":"at+jwt"}}"#, self.algorithm);
        let claims = format!(
            r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{subject}","exp":{EXPIRES},"scope":"orders.read orders.write"{claims}}}"#
        );
        format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()))
    }

    /// Our layer with a cache of this many tokens, and without a limit of failures.
    pub(crate) fn layer(&self, remembered: usize) -> AuthLayer {
        layer(self.jwt().cache(remembered).any_failures())
    }

    /// Our layer, which accepts tokens that are bound to the certificate of their caller.
    pub(crate) fn bound_layer(&self) -> AuthLayer {
        layer(self.jwt().certificate_bound().any_failures())
    }

    /// Our layer with its defaults, behind a proxy that names [the caller](CALLER): callers on loopback
    /// are not limited.
    pub(crate) fn limiting_layer(&self) -> AuthLayer {
        layer(self.jwt().client_address(|call| {
            let caller = call.headers().get(CALLER)?;
            caller.to_str().ok()?.parse().ok()
        }))
    }

    fn jwt(&self) -> JwtBuilder {
        let key = match self.algorithm {
            Algorithm::HS256 => Key::secret(self.algorithm, &self.key),
            _ => Key::pem(self.algorithm, &self.key),
        };
        let issuer = Jwt::keys(ISSUER, [key.expect("a key")])
            .audience(AUDIENCE)
            .algorithms([self.algorithm]);
        Jwt::builder().issuer(issuer)
    }

    /// Our layer without a cache, and with jsonwebtoken as its back end.
    pub(crate) fn layer_by_jsonwebtoken(&self) -> AuthLayer {
        let (key, validation) = self.decoding();
        let issuer = Jwt::by_jsonwebtoken(validation).default_key(key);
        layer(Jwt::builder().issuer(issuer).cache(0).any_failures())
    }

    /// The alternative to our layer.
    pub(crate) fn interceptor(&self) -> InterceptorLayer<Interceptor> {
        let (key, validation) = self.decoding();
        InterceptorLayer::new(Interceptor { key, validation })
    }

    fn decoding(&self) -> (DecodingKey, Validation) {
        let (algorithm, key) = match self.algorithm {
            Algorithm::HS256 => {
                (jsonwebtoken::Algorithm::HS256, Ok(DecodingKey::from_secret(&self.key)))
            }
            Algorithm::RS256 => {
                (jsonwebtoken::Algorithm::RS256, DecodingKey::from_rsa_pem(&self.key))
            }
            Algorithm::ES256 => {
                (jsonwebtoken::Algorithm::ES256, DecodingKey::from_ec_pem(&self.key))
            }
            _ => (jsonwebtoken::Algorithm::EdDSA, DecodingKey::from_ed_pem(&self.key)),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        (key.expect("a key"), validation)
    }
}

/// Verifies the token of each call with `jsonwebtoken`, and adds its claims to the request's extensions.
#[derive(Clone)]
pub(crate) struct Interceptor {
    key: DecodingKey,
    validation: Validation,
}

/// The claims of a call's token.
#[derive(Clone)]
struct Claims(#[expect(dead_code, reason = "no handler asks for it")] serde_json::Value);

impl tonic::service::Interceptor for Interceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header =
            request.metadata().get("authorization").and_then(|header| header.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("no token"))?;
        let claims = decode::<serde_json::Value>(token, &self.key, &self.validation)
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        request.extensions_mut().insert(Claims(claims.claims));
        Ok(request)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn layer(jwt: JwtBuilder) -> AuthLayer {
    AuthLayer::new(jwt.build().expect("an issuer")).build().expect("a layer")
}

fn bearer(message: &str, signature: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {message}.{signature}")).expect("a token is a header")
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).collect();
    let text = lines.join(&b'\n');
    [&b"-----BEGIN PUBLIC KEY-----\n"[..], &text, b"\n-----END PUBLIC KEY-----\n"].concat()
}
