//! The files of TLS and of tokens.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;

/// Issuer and subject of the token.
const USER: &str = "interop@example.org";

/// The name in the server's certificate.
const HOST: &str = "interop.example";

/// A CA, a certificate that it has issued, a key set and a token.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self(TempDir::new().unwrap());
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        files.write("ca.crt", &ca.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(ca, key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new([HOST.to_owned()]).unwrap();
        files.write("tls.crt", &server.signed_by(&key, &issuer).unwrap().pem());
        files.write("tls.key", &key.serialize_pem());
        files.write_token();
        files
    }

    fn write_token(&self) {
        let key = KeyPair::generate().unwrap();
        // An uncompressed point of P-256: 4, and two coordinates.
        let point = key.public_key_raw();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "x": x, "y": y});
        self.write("jwks.json", &json!({"keys": [jwk]}).to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims =
            json!({"iss": USER, "sub": USER, "aud": "interop", "iat": now, "exp": now + 3600});
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("1".to_owned());
        let key = EncodingKey::from_ec_der(&key.serialize_der());
        self.write("token", &encode(&header, &claims, &key).unwrap());
    }

    pub(crate) fn server_tls(&self) -> Vec<String> {
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| self.path(name));
        vec![
            "--use_tls=true".to_owned(),
            format!("--tls_cert_file={certificate}"),
            format!("--tls_key_file={key}"),
        ]
    }

    pub(crate) fn client_tls(&self) -> Vec<String> {
        vec![
            "--use_tls=true".to_owned(),
            format!("--ca_file={}", self.path("ca.crt")),
            format!("--server_host_override={HOST}"),
        ]
    }

    pub(crate) fn server_auth(&self) -> Vec<String> {
        vec![format!("--auth_jwks={}", self.path("jwks.json")), format!("--auth_issuer={USER}")]
    }

    pub(crate) fn client_auth(&self) -> Vec<String> {
        vec![
            format!("--token_file={}", self.path("token")),
            format!("--default_service_account={USER}"),
        ]
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}
