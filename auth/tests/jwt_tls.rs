//! Keys over `https`, with each of the features `tls-ring` and `tls-aws-lc`, and without.
//!
//! One test, because the default provider of a process can be installed only once. The features of rustls itself are
//! not tested here, because the tests' dependencies enable aws-lc-rs: `.ci/core` tests without them.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod jwt_support;
#[allow(dead_code)]
#[path = "jwt_support/key_server.rs"]
mod key_server;

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tonic_auth_layer::jwt::{FetchResult, Issuer, Jwt, JwtError};

use self::jwt_support::*;
use self::key_server::{Answer, KeyServer};

const HAS_TLS: bool = cfg!(any(feature = "tls-ring", feature = "tls-aws-lc"));

async fn is_fetched(issuer: Issuer, token: &str) {
    let jwt = issuer.audience(AUDIENCE).build().unwrap();
    tokio::time::timeout(Duration::from_secs(30), jwt.ready()).await.unwrap();
    passes(ask(&jwt, token));
}

/// Guards against: a dependency that adds a second provider to a program's rustls, or selects one for it.
#[tokio::test]
async fn a_provider_is_that_of_the_process_or_of_a_feature_and_otherwise_an_error_names_them() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let signer = Signer::ed();
    let keys = || Answer::Keys(vec![signer.jwk("a")]);
    let secure = KeyServer::with_tls(keys(), TlsAcceptor::from(Arc::new(tls))).await;
    let plain = KeyServer::start(keys()).await;
    let token = |server: &KeyServer| signer.token_of("a", json!({ "iss": server.issuer() }));
    let issuer = || Jwt::discover(secure.issuer()).root_certificates(cert.pem());

    // From loopback, keys are fetched without TLS and without a provider.
    is_fetched(Jwt::discover(plain.issuer()), &token(&plain)).await;
    if HAS_TLS {
        is_fetched(issuer(), &token(&secure)).await;
    } else {
        let url = Jwt::jwks_url(ISSUER, secure.keys()).root_certificates(cert.pem());
        for issuer in [issuer(), url] {
            let error = issuer.audience(AUDIENCE).build().unwrap_err();
            assert!(matches!(error, JwtError::NoTls { .. }), "{error:?}");
            let text = error.to_string();
            for name in ["`tls-ring`", "`tls-aws-lc`", "`CryptoProvider`"] {
                assert!(text.contains(name), "{text}");
            }
        }
        // A discovery document on loopback with a URL of keys that cannot be fetched.
        plain.point_to(&secure.keys());
        let (told, mut results) = unbounded_channel();
        let jwt = Jwt::builder().issuer(Jwt::discover(plain.issuer()).audience(AUDIENCE));
        let jwt = jwt.on_keys(move |event| {
            let _ = told.send((event.result, event.why.map(str::to_owned)));
        });
        let _jwt = jwt.build().unwrap();
        let (result, why) = results.recv().await.unwrap();
        assert_eq!(result, FetchResult::Refused);
        assert!(why.as_ref().is_some_and(|why| why.contains("`tls-ring`")), "{why:?}");
    }
    assert!(CryptoProvider::get_default().is_none(), "nothing is installed for others");

    default_provider().install_default().unwrap();
    is_fetched(issuer(), &token(&secure)).await;
}
