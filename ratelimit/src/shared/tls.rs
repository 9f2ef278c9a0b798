//! TLS to Redis.

use super::error::StoreError;

/// The crate for Redis uses the default provider of the process, and panics if there is none and rustls has two.
#[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
pub(super) fn prepare() -> Result<(), StoreError> {
    #[cfg(feature = "redis-tls-aws-lc")]
    use rustls::crypto::aws_lc_rs as provider;
    #[cfg(not(feature = "redis-tls-aws-lc"))]
    use rustls::crypto::ring as provider;

    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // If another thread was first, its provider is as good.
        let _ = provider::default_provider().install_default();
    }
    Ok(())
}

/// Authorities that are trusted instead of those of the system.
#[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
pub(super) fn authorities(pem: &[u8]) -> Result<redis::TlsCertificates, StoreError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    // Without any, no server would be trusted.
    if CertificateDer::pem_slice_iter(pem).next().is_none_or(|first| first.is_err()) {
        return Err(StoreError::Authority);
    }
    Ok(redis::TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) })
}

#[cfg(not(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring")))]
pub(super) fn prepare() -> Result<(), StoreError> {
    Err(StoreError::NoTls)
}
