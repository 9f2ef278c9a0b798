//! TLS to an issuer: trusted certificates, and the rustls provider.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::config::Roots;

/// Why TLS is not available.
#[derive(Debug)]
pub(super) enum NoTls {
    /// There is no rustls provider.
    Provider,
    /// The trusted certificates can't be read.
    Roots(String),
}

/// If TLS is not `needed` for the first URL, a missing provider is not an error and returns `None`, and missing
/// roots are not an error either: a container that uses a sidecar needs none. Then no server is trusted.
pub(super) fn config(roots: Option<&Roots>, needed: bool) -> Result<Option<ClientConfig>, NoTls> {
    let roots = match roots {
        Some(Roots::Pem(pem)) => Some(certificates(pem).map_err(NoTls::Roots)?),
        Some(Roots::File(path)) => {
            let pem = std::fs::read(path).map_err(|error| error.to_string());
            let read = pem.and_then(|pem| certificates(&pem));
            let named = |problem| NoTls::Roots(format!("{}: {problem}", path.display()));
            Some(read.map_err(named)?)
        }
        None => None,
    };
    let Some(provider) = provider() else {
        return if needed { Err(NoTls::Provider) } else { Ok(None) };
    };
    // Explicit, because rustls panics if it finds several providers.
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NoTls::Roots(error.to_string()))?;
    let config = match roots {
        Some(roots) => config.with_root_certificates(roots),
        None => match config.clone().with_native_roots() {
            Ok(config) => config,
            Err(_) if !needed => config.with_root_certificates(RootCertStore::empty()),
            Err(error) => return Err(NoTls::Roots(error.to_string())),
        },
    };
    Ok(Some(config.with_no_client_auth()))
}

/// The process's default provider, which tonic also uses; otherwise the one of a feature.
fn provider() -> Option<Arc<CryptoProvider>> {
    CryptoProvider::get_default().cloned().or_else(of_features)
}

/// With both features aws-lc-rs, which also verifies the tokens.
fn of_features() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "tls-aws-lc")]
    let provider = Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "tls-ring", not(feature = "tls-aws-lc")))]
    let provider = Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
    let provider = None;
    provider
}

fn certificates(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it contains no certificate".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_that_of_the_feature_and_of_two_it_is_aws_lc() {
        let expected = match (cfg!(feature = "tls-ring"), cfg!(feature = "tls-aws-lc")) {
            (_, true) => Some("AwsLcRs"),
            (true, false) => Some("Ring"),
            (false, false) => None,
        };
        let random = of_features().map(|provider| format!("{:?}", provider.secure_random));
        assert_eq!(random.as_deref(), expected);
    }
}
