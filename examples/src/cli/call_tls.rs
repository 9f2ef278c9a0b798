//! The TLS flags of `orders call`.

use std::path::PathBuf;

use clap::Args;

use super::help::CALL_OPTIONS;

/// TLS of a client.
#[derive(Args, Clone, Debug)]
pub struct CallTlsArgs {
    /// File with the CAs that issue the server's certificate (PEM); an https URL needs it
    ///
    /// For a server of the public internet, the bundle of the system, such as /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, value_name = "FILE", global = true, help_heading = CALL_OPTIONS)]
    pub tls_ca: Option<PathBuf>,

    /// File with the client's certificate and its intermediate certificates (PEM), for mutual TLS
    #[arg(long, value_name = "FILE", global = true, help_heading = CALL_OPTIONS)]
    pub tls_cert: Option<PathBuf>,

    /// File with the private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", global = true, help_heading = CALL_OPTIONS)]
    pub tls_key: Option<PathBuf>,
}

impl CallTlsArgs {
    /// What contradicts itself. `https` is the scheme of the URL. (clap's `requires` does not hold for flags before the
    /// method.)
    pub(super) fn conflict(&self, https: bool) -> Option<&'static str> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            Some("--tls-cert and --tls-key can only be used together")
        } else if https && self.tls_ca.is_none() {
            Some(
                "an https URL needs --tls-ca FILE: the CAs that are trusted, such as \
                 /etc/ssl/certs/ca-certificates.crt",
            )
        } else if !https && (self.tls_ca.is_some() || self.tls_cert.is_some()) {
            Some("--tls-ca and --tls-cert need an https URL: use --to https://HOST:PORT")
        } else {
            None
        }
    }
}
