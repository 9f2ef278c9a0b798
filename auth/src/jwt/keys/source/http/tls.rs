//! TLS to an issuer: whose certificates it may have, and whose cryptography it is done with.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::config::Roots;

/// Why a server can't be talked to over TLS.
#[derive(Debug)]
pub(super) enum NoTls {
    /// There is no cryptography.
    Provider,
    /// The certificates that are trusted can't be read.
    Roots(String),
}

/// Where TLS is not `needed` at first there may be no provider, which gives `None`, and no roots: a container
/// that asks a sidecar need not have any. Then nobody is trusted.
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
    // Given here, whatever the process has: rustls itself panics where it has to guess.
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

/// The process's default provider, as tonic takes it, too; otherwise that of a feature.
fn provider() -> Option<Arc<CryptoProvider>> {
    CryptoProvider::get_default().cloned().or_else(of_features)
}

/// With both features aws-lc-rs, which verifies the signatures of tokens anyway.
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
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
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
