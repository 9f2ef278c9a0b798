//! What PEM files contain.

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::{Problem, TlsError};
use super::file::TlsFile;

/// The certificates of a file, at least one.
pub(super) fn certificates(
    file: &TlsFile,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all(file, pem)
}

/// The certificate revocation lists of a file, at least one.
pub(crate) fn revocation_lists(
    file: &TlsFile,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    all(file, pem)
}

const ENCRYPTED: &[u8] = b"Proc-Type: 4,ENCRYPTED";

/// The first private key of a file.
pub(super) fn private_key(file: &TlsFile, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        // An encrypted key in its older form has such a line in its section (RFC 1421 §4.6.1.1).
        let encrypted = pem.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        if encrypted { TlsError::of(file, Problem::Empty) } else { of_pem(file, &error) }
    })
}

fn all<T: PemObject>(file: &TlsFile, pem: &[u8]) -> Result<Vec<T>, TlsError> {
    let parsed = T::pem_slice_iter(pem).collect::<Result<Vec<T>, PemError>>();
    match parsed.map_err(|error| of_pem(file, &error))? {
        parsed if parsed.is_empty() => Err(TlsError::of(file, Problem::Empty)),
        parsed => Ok(parsed),
    }
}

fn of_pem(file: &TlsFile, error: &PemError) -> TlsError {
    // The text of others can contain a part of the file, which can be a part of a key.
    let why = match error {
        PemError::NoItemsFound => return TlsError::of(file, Problem::Empty),
        PemError::MissingSectionEnd { .. } => "a PEM section has no end",
        PemError::IllegalSectionStart { .. } => "a PEM section has a malformed first line",
        PemError::Base64Decode(_) => "a PEM section is not base64",
        _ => "it is not PEM",
    };
    TlsError::of(file, Problem::Malformed(why.to_owned()))
}
