//! Trusted CAs.

use std::sync::Arc;

use rustls::RootCertStore;

use super::error::{Problem, TlsError};
use super::file::TlsFile;
use super::pem;

/// The CAs of one or several files. A certificate that can't be parsed is an error: skipping it would refuse its
/// holders without a word.
pub(crate) fn roots<'a>(
    files: impl IntoIterator<Item = (&'a TlsFile, &'a [u8])>,
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for (file, pem) in files {
        for certificate in pem::certificates(file, pem)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::of(file, Problem::Malformed(error.to_string())))?;
        }
    }
    Ok(Arc::new(roots))
}
