//! Keys of jsonwebtoken, which verifies signatures instead of aws-lc-rs.

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind, Validation, crypto, decode};
use serde::de::IgnoredAny;
use tonic_call::guarded;

use super::{Key, KeyError, Material};
use crate::decide::failure::Failure;
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::token::compact::Compact;
use crate::jwt::token::fault::invalid;

/// The keys of an issuer, each with its `kid`, and the claims that its tokens must have.
#[derive(Clone, Debug)]
pub(crate) struct DecodingKeys {
    pub(crate) validation: Validation,
    pub(crate) keys: Vec<(Option<Arc<str>>, DecodingKey)>,
}

/// Whether jsonwebtoken can verify by this algorithm with this key. It panics without a back end: the error is the
/// first line of its message.
pub(crate) fn is_for(
    key: &DecodingKey,
    algorithm: jsonwebtoken::Algorithm,
) -> Result<bool, String> {
    guarded(|| crypto::verify("", b"", key, algorithm).is_ok()).map_err(|message| {
        message.split(r"\n").find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    })
}

/// By its name in a token's header.
pub(crate) fn algorithm_of(algorithm: jsonwebtoken::Algorithm) -> Option<Algorithm> {
    serde_json::to_value(algorithm).ok()?.as_str().and_then(Algorithm::from_name)
}

impl Key {
    /// A key that jsonwebtoken verifies with, by one of the algorithms of its family.
    pub(crate) fn decoding(
        key: &DecodingKey,
        algorithm: jsonwebtoken::Algorithm,
        validation: &Validation,
    ) -> Result<Self, KeyError> {
        let decoder = Decoder::new(key, algorithm, validation);
        let material = Material::Jsonwebtoken(Box::new(decoder));
        let algorithm = algorithm_of(algorithm).ok_or(KeyError::Unsupported("its algorithm"))?;
        let bytes = match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
            DecodingKeyKind::RsaModulusExponent { n, e } => [&n[..], e].concat(),
        };
        if key.family() == AlgorithmFamily::Hmac {
            // Refuses one that is too short.
            Self::secret(algorithm, &bytes)?;
        }
        Ok(Self::new(algorithm, material, &bytes))
    }
}

/// A key for one algorithm.
pub(super) struct Decoder {
    key: DecodingKey,
    validation: Validation,
}

impl Decoder {
    /// Times and absent claims are left to [`Rules`](crate::jwt::config::rules::Rules), which has the layer's
    /// clock and checks cached tokens, too.
    pub(super) fn new(
        key: &DecodingKey,
        algorithm: jsonwebtoken::Algorithm,
        validation: &Validation,
    ) -> Self {
        let mut validation = validation.clone();
        // `decode` refuses every token if one of the algorithms is of another family than the key.
        validation.algorithms = vec![algorithm];
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.reject_tokens_expiring_in_less_than = 0;
        Self { key: key.clone(), validation }
    }

    pub(super) fn verify(&self, parts: &Compact<'_>) -> Result<bool, Failure> {
        match decode::<IgnoredAny>(parts.token(), &self.key, &self.validation) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Ok(false),
            Err(error) => {
                Err(invalid("jsonwebtoken", "a token that `decode` accepts", error.to_string()))
            }
        }
    }
}
