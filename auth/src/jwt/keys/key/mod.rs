//! Keys that verify tokens, each for one algorithm.

#[cfg(feature = "jsonwebtoken")]
pub(crate) mod decoder;
mod error;
mod issuers;
pub(crate) mod jwk;
mod roca;
pub(crate) mod set;
mod small_order;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{self, PublicEncryptingKey};
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use aws_lc_rs::{digest, hmac};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

pub use self::error::KeyError;
pub(crate) use self::issuers::KeyIssuers;
use crate::decide::failure::Failure;
use crate::jwt::token::algorithm::{Algorithm, Family};
use crate::jwt::token::compact::Compact;
use crate::jwt::token::fault::invalid;

/// A key that verifies tokens, for exactly one algorithm.
#[derive(Clone)]
pub struct Key {
    id: Option<Arc<str>>,
    algorithm: Algorithm,
    material: Arc<Material>,
    issuers: KeyIssuers,
    print: Fingerprint,
}

/// A hash of everything that identifies a key: material, algorithm, `kid`, and in a set, its issuers.
pub(crate) type Fingerprint = [u8; 32];

enum Material {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
    #[cfg(feature = "jsonwebtoken")]
    Jsonwebtoken(Box<decoder::Decoder>),
}

impl Key {
    /// A secret that issuer and verifier share, at least as long as the algorithm's hash (RFC 7518 §3.2): 32 bytes
    /// for `HS256`. Use random bytes, not a password.
    pub fn secret(algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        let (hash, least) = match algorithm {
            Algorithm::HS256 => (hmac::HMAC_SHA256, 32),
            Algorithm::HS384 => (hmac::HMAC_SHA384, 48),
            Algorithm::HS512 => (hmac::HMAC_SHA512, 64),
            _ => return Err(KeyError::Mismatch { algorithm }),
        };
        if secret.len() < least {
            return Err(KeyError::Short { bytes: secret.len(), least });
        }
        Ok(Self::new(algorithm, Material::Secret(Box::new(hmac::Key::new(hash, secret))), secret))
    }

    /// A public key in PEM: `-----BEGIN PUBLIC KEY-----`. RSA keys have at least 2048 bits.
    pub fn pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_ref())
            .map_err(|_| KeyError::Malformed("no PUBLIC KEY in the PEM"))?;
        Self::public(algorithm, &der)
    }

    /// A JSON Web Key (RFC 7517): a public key, or one of type `oct`. Without `alg`, an RSA key is for `RS256`, and
    /// an `oct` key for `HS256`.
    pub fn jwk(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        jwk::read_text(json.as_ref())
    }

    /// Sets the key's `kid`. A key without one verifies tokens with no `kid` or an unknown `kid`, so an issuer can
    /// have only one such key per algorithm. With several keys for one algorithm, for example during a rotation,
    /// tokens must have a `kid`.
    #[must_use]
    pub fn with_id(self, id: impl Into<Arc<str>>) -> Self {
        let Self { algorithm, material, issuers, print, .. } = self;
        let id = id.into();
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&print);
        hash.update(id.as_bytes());
        Self { id: Some(id), algorithm, material, issuers, print: fingerprint(hash) }
    }

    /// The algorithm of this key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `kid` of this key.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// A public key from its `SubjectPublicKeyInfo`, or of EC and Ed from the bare point.
    fn public(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let verify: &'static dyn VerificationAlgorithm = match algorithm.family() {
            Family::Hmac => return Err(KeyError::Mismatch { algorithm }),
            Family::Rsa => rsa_parameters(algorithm).ok_or(KeyError::Mismatch { algorithm })?,
            Family::Ec | Family::Ed => match algorithm {
                Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
                Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
                Algorithm::ES512 => &signature::ECDSA_P521_SHA512_FIXED,
                _ => &signature::ED25519,
            },
        };
        if algorithm.family() == Family::Ed && small_order::is_small(der) {
            return Err(KeyError::Weak("an Ed25519 key of small order"));
        }
        let key =
            ParsedPublicKey::new(verify, der).map_err(|_| KeyError::Mismatch { algorithm })?;
        Self::parsed(algorithm, key)
    }

    fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let parameters = rsa_parameters(algorithm).ok_or(KeyError::Mismatch { algorithm })?;
        // Some issuers write a leading zero byte.
        let [n, e] =
            [n, e].map(|number| &number[number.iter().take_while(|&&byte| byte == 0).count()..]);
        // With an exponent of 1 a signature is the message itself, and an even one has no inverse.
        if matches!(e, [] | [1]) || e.last().is_some_and(|last| last % 2 == 0) {
            return Err(KeyError::Weak("an RSA exponent that is even, or 1, or missing"));
        }
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
        Self::parsed(algorithm, key.map_err(|_| KeyError::Malformed("no RSA key"))?)
    }

    fn parsed(algorithm: Algorithm, key: ParsedPublicKey) -> Result<Self, KeyError> {
        let der = key.as_der().map_err(|_| KeyError::Malformed("no public key"))?;
        if algorithm.family() == Family::Rsa {
            // Refuses fewer than 2048 bits, and more than 8192.
            PublicEncryptingKey::from_der(der.as_ref())
                .map_err(|_| KeyError::Weak("an RSA key that does not have 2048 to 8192 bits"))?;
            let public = rsa::PublicKey::from_der(der.as_ref())
                .map_err(|_| KeyError::Malformed("no RSA key"))?;
            if roca::is_vulnerable(public.modulus().big_endian_without_leading_zero()) {
                return Err(KeyError::Weak("an RSA key as the ROCA fault makes them"));
            }
        }
        Ok(Self::new(algorithm, Material::Public(key), der.as_ref()))
    }

    fn new(algorithm: Algorithm, material: Material, bytes: &[u8]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(algorithm.as_str().as_bytes());
        hash.update(b"\0");
        hash.update(bytes);
        let material = Arc::new(material);
        let issuers = KeyIssuers::Any;
        Self { id: None, algorithm, material, issuers, print: fingerprint(hash) }
    }

    /// The key as a member of a set. Its fingerprint then contains its issuers, so that cached tokens are verified
    /// again if they change.
    fn in_set(self) -> Self {
        if self.issuers == KeyIssuers::Any {
            return self;
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.print);
        self.issuers.hash_into(&mut hash);
        Self { print: fingerprint(hash), ..self }
    }

    pub(crate) fn issuers(&self) -> &KeyIssuers {
        &self.issuers
    }

    /// Verifies the signature of a token, by the key's algorithm. HMACs are compared in constant time.
    pub(crate) fn verify(&self, parts: &Compact<'_>) -> Result<(), Failure> {
        let (message, signature) = (parts.message(), parts.signature()?);
        let is_good = match &*self.material {
            Material::Secret(key) => hmac::verify(key, message, &signature).is_ok(),
            Material::Public(key) => key.verify_sig(message, &signature).is_ok(),
            #[cfg(feature = "jsonwebtoken")]
            Material::Jsonwebtoken(decoder) => decoder.verify(parts)?,
        };
        if is_good {
            Ok(())
        } else {
            Err(invalid("signature", "a signature by the issuer's key", "another signature"))
        }
    }

    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.print
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn fingerprint(hash: digest::Context) -> Fingerprint {
    let mut print = Fingerprint::default();
    print.copy_from_slice(hash.finish().as_ref());
    print
}

/// Omits the key material.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
