use std::sync::Arc;

use http::{HeaderName, request};

use super::allowed::{Allowed, CONNECTION};
use super::connection::{ByConnection, Chain, client_certificates};
use super::leaf::Leaf;
use super::proxies::{Proxies, remove_untrusted};
use crate::decide::authenticate::{Authenticate, Authenticating, Outcome};
use crate::decide::failure::Failure;
use crate::decide::identity::Identity;
use crate::decide::incoming::Incoming;

/// Authenticates callers by their client certificate: see the [module's page](crate::mtls).
///
/// Clones share the cache.
#[derive(Clone, Debug)]
pub struct Mtls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: Allowed,
    check_expiry: bool,
    proxies: Option<Proxies>,
    known: ByConnection<Result<Identity, Failure>>,
}

impl Mtls {
    pub(crate) fn new(allowed: Allowed, check_expiry: bool, proxies: Option<Proxies>) -> Self {
        Self(Arc::new(Inner { allowed, check_expiry, proxies, known: ByConnection::new() }))
    }
}

impl Inner {
    fn by_certificate(&self, chain: &Chain) -> Outcome {
        match self.known.get(chain, |chain| self.read(chain)) {
            (Ok(identity), cached) => Outcome::Identified { identity, cached },
            (Err(failure), _) => failure.into(),
        }
    }

    fn by_header(
        &self,
        proxies: &Proxies,
        call: &Incoming<'_>,
    ) -> Result<Option<Identity>, Failure> {
        let Some(stated) = proxies.stated(call.headers())? else { return Ok(None) };
        let caller = self.allowed.caller(stated.into_names()?, proxies.source())?;
        Ok(Some(caller.into_identity()))
    }

    fn read(&self, chain: &Chain) -> Result<Identity, Failure> {
        let leaf = Leaf::read(chain.first().map(|leaf| &**leaf).unwrap_or_default())?;
        let identity = self.allowed.caller(leaf.names, CONNECTION)?.into_identity();
        Ok(match self.check_expiry {
            true => identity.with_expires_at(leaf.not_after),
            false => identity,
        })
    }
}

impl Authenticate for Mtls {
    fn authenticate(&self, call: &Incoming<'_>) -> Authenticating {
        if let Some(proxies) = &self.0.proxies
            && proxies.trust(call.extensions())
        {
            return Outcome::from(self.0.by_header(proxies, call)).into();
        }
        let chain = client_certificates(call.extensions());
        chain.map_or(Outcome::Absent, |chain| self.0.by_certificate(&chain)).into()
    }

    fn remove_untrusted(&self, head: &mut request::Parts) {
        remove_untrusted(self.0.proxies.as_ref(), head);
    }

    /// None are secret: the names in a mesh's header are for logs, too.
    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// There is no HTTP authentication scheme for client certificates.
    fn schemes(&self) -> Vec<&'static str> {
        Vec::new()
    }
}
