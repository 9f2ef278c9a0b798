//! jsonwebtoken panics without a back end, or with two of them: it then uses a provider that panics. The provider in
//! this test does the same; a process has only one provider, so this test has its own file.
#![cfg(feature = "jsonwebtoken")]
#![allow(clippy::unwrap_used)]

use jsonwebtoken::crypto::{CryptoProvider, KeyUtils};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tonic_auth_layer::jwt::{Jwt, JwtError};

static NONE: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| panic!("no back end"),
    verifier_factory: |_, _| panic!("no back end"),
    key_utils: KeyUtils::new_unimplemented(),
};

#[test]
fn without_a_back_end_build_fails_and_says_how_to_get_one() {
    NONE.install_default().unwrap();
    let key = DecodingKey::from_secret(&[7; 32]);
    let built = Jwt::by_jsonwebtoken(Validation::new(Algorithm::HS256)).default_key(key).build();
    let error = built.unwrap_err();
    assert!(matches!(&error, JwtError::NoCryptoProvider(text) if text == "no back end"));
    let text = error.to_string();
    for word in ["`aws_lc_rs`", "`rust_crypto`", "`CryptoProvider`", "no back end"] {
        assert!(text.contains(word), "{text}");
    }
}
