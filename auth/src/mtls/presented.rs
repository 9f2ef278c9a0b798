//! The certificate of a caller, for tokens that are bound to it.

use aws_lc_rs::digest;

use super::connection::{ByConnection, Chain, client_certificates};
use super::proxies::Proxies;
use crate::decide::failure::Failure;
use crate::decide::incoming::Incoming;

/// Finds the certificate of a caller.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) proxies: Option<Proxies>,
    known: ByConnection<Option<[u8; 32]>>,
}

impl Certificates {
    pub(crate) fn new(proxies: Option<Proxies>) -> Self {
        Self { proxies, known: ByConnection::new() }
    }

    /// SHA-256 of the certificate of the connection; or of that which a trusted proxy states. `None` without one.
    pub(crate) fn thumbprint(&self, call: &Incoming<'_>) -> Result<Option<[u8; 32]>, Failure> {
        if let Some(proxies) = &self.proxies
            && proxies.trust(call.extensions())
        {
            return Ok(proxies.stated(call.headers())?.and_then(|stated| stated.hash()));
        }
        let chain = client_certificates(call.extensions());
        let hash = |chain: &Chain| chain.first().map(|leaf| sha256(leaf));
        Ok(chain.and_then(|chain| self.known.get(&chain, hash).0))
    }
}

fn sha256(der: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    hash
}
