//! The flags of `orders serve` for callers with a client certificate.

use clap::Args;

use super::help::AUTHENTICATION;
use crate::auth::{CertificateConfig, MeshProxy, SpiffeCallers};

/// The callers that are allowed by their client certificate.
#[derive(Args, Clone, Debug)]
pub struct CertificateArgs {
    /// SPIFFE ID that the client certificate of a caller must have; may be given more than once, or several between commas
    ///
    /// `spiffe://prod.example/billing` allows that workload, `spiffe://prod.example/billing/*` also those below it, and
    /// `spiffe://prod.example/*` the whole trust domain. The certificate is that of the connection, which --client-ca
    /// verifies, or the one that a proxy of --trust-xfcc names.
    ///
    /// A caller then needs both: such a certificate and a token, whose scopes apply. With --auth off it needs only the
    /// certificate, and may call every method. Calls of health and reflection need neither.
    #[arg(long, value_name = "ID|ID/*", value_delimiter = ',', help_heading = AUTHENTICATION)]
    pub allow_spiffe: Vec<SpiffeCallers>,

    /// Proxy of a service mesh that is trusted to name the certificate of its client in x-forwarded-client-cert; may be
    /// given more than once, or several between commas
    ///
    /// `loopback`, a network or an address, or the SPIFFE ID in the certificate of the proxy. Every process at such an
    /// address can name any caller. In calls from a trusted proxy only the header counts, never the certificate of the
    /// connection. The header of all other peers is ignored.
    #[arg(long, value_name = "loopback|NETWORK|ID", value_delimiter = ',', requires = "allow_spiffe", help_heading = AUTHENTICATION)]
    pub trust_xfcc: Vec<MeshProxy>,
}

impl CertificateArgs {
    /// What contradicts itself. `verified` is whether TLS verifies the certificates of clients.
    pub(super) fn conflict(&self, verified: bool) -> Option<&'static str> {
        let by_certificate = |proxy: &MeshProxy| matches!(proxy, MeshProxy::Workload(_));
        if verified {
            None
        } else if self.trust_xfcc.iter().any(by_certificate) {
            Some(
                "--trust-xfcc spiffe://… needs --client-ca FILE, which verifies the certificate of the proxy",
            )
        } else if !self.allow_spiffe.is_empty() && self.trust_xfcc.is_empty() {
            Some(
                "--allow-spiffe needs --client-ca FILE, which verifies the certificates of callers; behind a service \
                 mesh, --trust-xfcc",
            )
        } else {
            None
        }
    }

    /// Which certificates callers need.
    pub(super) fn config(&self, verified: bool) -> CertificateConfig {
        CertificateConfig {
            callers: self.allow_spiffe.clone(),
            proxies: self.trust_xfcc.clone(),
            verified,
        }
    }
}
