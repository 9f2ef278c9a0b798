//! TLS with the certificate that the test runner makes.

use std::error::Error;
use std::fs;

use tempfile::TempDir;
use tonic_tls_reload::{ClientCa, ServerTls};

use crate::proto::ServerCompatRequest;

/// TLS, and the files that it reads.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) server: ServerTls,
    pub(crate) certificate: Vec<u8>,
    _files: TempDir,
}

impl Tls {
    /// TLS as the request has it; `None` without.
    pub(crate) fn of(request: &ServerCompatRequest) -> Result<Option<Self>, Box<dyn Error>> {
        if !request.use_tls {
            return Ok(None);
        }
        let credentials = request.server_creds.clone().ok_or("TLS without a certificate")?;
        let files = TempDir::new()?;
        let path = |name| files.path().join(name);
        fs::write(path("tls.crt"), &credentials.cert)?;
        fs::write(path("tls.key"), &credentials.key)?;
        let mut tls = ServerTls::from_files(path("tls.crt"), path("tls.key")).accept_http1(true);
        if !request.client_tls_cert.is_empty() {
            fs::write(path("ca.crt"), &request.client_tls_cert)?;
            tls = tls.client_ca(ClientCa::bundle(path("ca.crt")));
        }
        let server = tls.build()?;
        Ok(Some(Self { server, certificate: credentials.cert, _files: files }))
    }
}
