//! A certificate with its private key.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};

use super::certificate::Validity;
use super::error::{Problem, TlsError};
use super::file::TlsFile;
use super::pem;

/// How many bytes the certificates of one side can have in a handshake. rustls and Go refuse longer messages.
const MAX_CHAIN: usize = 0xffff;

/// What each certificate adds to its own bytes in TLS 1.3: its length, and that of its extensions (RFC 8446 §4.4.2).
const PER_CERTIFICATE: usize = 5;

/// Reads a certificate and its key, and checks that they belong together and that the certificate is valid now.
pub(crate) fn identity(
    (certificate_file, certificate): (&TlsFile, &[u8]),
    (key_file, key): (&TlsFile, &[u8]),
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<(Arc<CertifiedKey>, Validity), TlsError> {
    let chain = pem::certificates(certificate_file, certificate)?;
    let malformed = |why| TlsError::of(certificate_file, Problem::Malformed(why));
    // For example a bundle of CAs. The handshake of each peer would fail.
    if chain.iter().map(|certificate| certificate.len() + PER_CERTIFICATE).sum::<usize>()
        > MAX_CHAIN
    {
        let why = "its certificates are longer than 64 KiB together, and peers refuse that";
        return Err(TlsError::of(certificate_file, Problem::Unusable(why.to_owned())));
    }
    // `certificates` returns at least one.
    let validity = Validity::of(&chain[0]).map_err(malformed)?;
    let key = pem::private_key(key_file, key)?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| TlsError::of(key_file, Problem::Unusable(error.to_string())))?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        // A provider may be unable to tell.
        Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(RustlsError::InconsistentKeys(_)) => {
            let certificate = certificate_file.path.clone();
            return Err(TlsError::of(key_file, Problem::WrongKey { certificate }));
        }
        Err(error) => {
            return Err(TlsError::of(certificate_file, Problem::Unusable(error.to_string())));
        }
    }
    validity.check(certificate_file, now)?;
    Ok((Arc::new(identity), validity))
}
