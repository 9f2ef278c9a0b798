//! The TLS flags of `orders serve`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::tls::{ClientCertificates, TlsFiles};

const TLS: &str = "TLS";

/// TLS of the server.
#[derive(Args, Clone, Debug)]
pub struct ServeTlsArgs {
    /// File with the server's certificate and its intermediate certificates (PEM): serve gRPC over TLS only
    ///
    /// This file, --tls-key and --client-ca are read again every 10s, and on SIGHUP. New connections use the renewed
    /// files; if these are not good, the previous ones stay in use, and the log has the reason.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = TLS)]
    pub tls_cert: Option<PathBuf>,

    /// File with the private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = TLS)]
    pub tls_key: Option<PathBuf>,

    /// File with the CAs that issue the certificates of clients (PEM): verify clients (mutual TLS)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = TLS)]
    pub client_ca: Option<PathBuf>,

    /// Whether clients must have a certificate [default: required]
    ///
    /// With `optional` a client may have none; a certificate that it has must be good.
    #[arg(long, value_name = "optional|required", hide_possible_values = true, requires = "client_ca", help_heading = TLS)]
    pub client_cert: Option<ClientCert>,

    /// Serve /metrics over TLS, too, with the same files
    ///
    /// With --client-ca, Prometheus needs a certificate then.
    #[arg(long, requires = "tls_cert", help_heading = TLS)]
    pub metrics_tls: bool,
}

/// Whether clients must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientCert {
    /// A client may have a certificate
    Optional,
    /// A client must have a certificate
    Required,
}

impl ServeTlsArgs {
    /// The files of TLS, if there is any.
    pub fn files(&self) -> Option<TlsFiles> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        let clients = match (self.client_ca.clone(), self.client_cert) {
            (None, _) => ClientCertificates::Ignored,
            (Some(ca), Some(ClientCert::Optional)) => ClientCertificates::Optional(ca),
            (Some(ca), Some(ClientCert::Required) | None) => ClientCertificates::Required(ca),
        };
        Some(TlsFiles { certificate, key, clients })
    }
}
