//! The files of the server's TLS.

use std::path::PathBuf;

use tonic_tls_reload::{ClientCa, ServerTls, TlsError};

use super::handshake::Tls;
use super::metrics;

/// The files that the server's certificate is read from, and which clients need one.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate and its intermediate certificates.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// Which certificates clients have.
    pub clients: ClientCertificates,
}

/// Which certificates clients have.
#[derive(Clone, Debug)]
pub enum ClientCertificates {
    /// They are not asked for one.
    Ignored,
    /// One that a CA in this file has issued, or none.
    Optional(PathBuf),
    /// One that a CA in this file has issued.
    Required(PathBuf),
}

impl TlsFiles {
    /// Reads the files, and from then on every 10 s. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If they cannot be used: the error names the file.
    pub fn load(&self) -> Result<Tls, TlsError> {
        let tls = ServerTls::from_files(&self.certificate, &self.key);
        let tls = tls.accept_http1(true).on_reload(metrics::reloaded);
        let tls = match &self.clients {
            ClientCertificates::Ignored => tls,
            ClientCertificates::Optional(ca) => tls.client_ca(ClientCa::bundle(ca).optional()),
            ClientCertificates::Required(ca) => tls.client_ca(ca),
        };
        tls.build().map(Tls::new)
    }
}
