//! Verifies a client by the CAs of its own SPIFFE trust domain.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use tonic_call::SpiffeId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// One verifier per trust domain. At least one.
#[derive(Debug)]
pub(super) struct TrustDomains {
    verifiers: BTreeMap<String, Arc<dyn ClientCertVerifier>>,
    /// For what does not depend on the trust domain: signatures, and whether a certificate is required.
    any: Arc<dyn ClientCertVerifier>,
    hints: Vec<DistinguishedName>,
}

/// Why a certificate is not an X.509-SVID of a known trust domain.
#[derive(Debug)]
struct NotAnSvid(&'static str);

impl TrustDomains {
    /// `None` without a trust domain.
    pub(super) fn new(verifiers: BTreeMap<String, Arc<dyn ClientCertVerifier>>) -> Option<Self> {
        let any = Arc::clone(verifiers.values().next()?);
        let hints = verifiers.values().flat_map(|verifier| verifier.root_hint_subjects());
        let hints = hints.cloned().collect();
        Some(Self { verifiers, any, hints })
    }

    fn verifier_for(&self, leaf: &CertificateDer<'_>) -> Result<&dyn ClientCertVerifier, Error> {
        let id = spiffe_id(leaf).map_err(|why| {
            let other = OtherError(Arc::new(NotAnSvid(why)));
            Error::InvalidCertificate(CertificateError::Other(other))
        })?;
        let verifier = self.verifiers.get(id.trust_domain());
        verifier.map(|verifier| &**verifier).ok_or(CertificateError::UnknownIssuer.into())
    }
}

/// The SPIFFE ID of a leaf certificate that is an X.509-SVID (X509-SVID specification, §2 to §5).
fn spiffe_id(leaf: &CertificateDer<'_>) -> Result<SpiffeId, &'static str> {
    const MALFORMED: &str = "the certificate or one of its extensions is malformed";
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| MALFORMED)?;
    let names = leaf.subject_alternative_name().map_err(|_| MALFORMED)?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let mut uris = names.filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err("the certificate does not have exactly one URI SAN");
    };
    let id = SpiffeId::parse(uri).map_err(|_| "the URI SAN is not a SPIFFE ID")?;
    if id.path().is_empty() {
        return Err("the SPIFFE ID has no path");
    }
    let constraints = leaf.basic_constraints().map_err(|_| MALFORMED)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err("the certificate is that of a CA");
    }
    let usage = leaf.key_usage().map_err(|_| MALFORMED)?;
    match usage {
        Some(usage) if !usage.value.digital_signature() => {
            Err("the key usage does not allow digital signatures")
        }
        Some(usage) if usage.value.key_cert_sign() || usage.value.crl_sign() => {
            Err("the key usage allows signing certificates or revocation lists")
        }
        Some(_) => Ok(id),
        None => Err("the certificate has no key usage"),
    }
}

impl ClientCertVerifier for TrustDomains {
    fn client_auth_mandatory(&self) -> bool {
        self.any.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier_for(leaf)?.verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}

impl std::fmt::Display for NotAnSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAnSvid {}
