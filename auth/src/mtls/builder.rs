//! Builds an [`Mtls`].

use tonic_call::SpiffeId;

use super::allowed::Allowed;
use super::authenticator::Mtls;
use super::error::MtlsError;
use super::leaf::dns_name;
use super::proxies::MeshProxies;

/// Builds an [`Mtls`]: the callers that it allows. A caller passes if one of the entries matches.
#[derive(Clone, Debug, Default)]
#[must_use = "call `build()` to get the authenticator"]
pub struct MtlsBuilder {
    allowed: Allowed,
    check_expiry: bool,
    proxies: Option<MeshProxies>,
    error: Option<MtlsError>,
}

impl Mtls {
    /// Begins an allow-list of callers.
    pub fn builder() -> MtlsBuilder {
        MtlsBuilder::default()
    }
}

impl MtlsBuilder {
    /// Allows every workload of a SPIFFE trust domain, such as `prod.example`.
    pub fn trust_domain(mut self, name: &str) -> Self {
        match SpiffeId::is_trust_domain(name) {
            true => self.allowed.trust_domains.push(name.to_owned()),
            false => self.fail(MtlsError::TrustDomain(name.to_owned())),
        }
        self
    }

    /// Allows the workload with that SPIFFE ID, and those below it: `spiffe://prod.example/billing` allows
    /// `/billing` and `/billing/api`, but not `/billing-test`.
    pub fn path_prefix(mut self, id: &str) -> Self {
        if let Some(id) = self.read(id) {
            self.allowed.prefixes.push(id);
        }
        self
    }

    /// Allows the workload with exactly that SPIFFE ID. Paths are case-sensitive (SPIFFE-ID §2.2).
    pub fn spiffe_id(mut self, id: &str) -> Self {
        if let Some(id) = self.read(id) {
            self.allowed.ids.push(id);
        }
        self
    }

    /// Allows certificates with exactly that DNS SAN, without regard to case, if they have no SPIFFE ID. A wildcard in a
    /// certificate matches nothing, and the common name is never read (RFC 9525 §2).
    pub fn dns_name(mut self, name: &str) -> Self {
        match dns_name(name) {
            Some(name) => self.allowed.dns.push(name),
            None => self.fail(MtlsError::DnsName(name.to_owned())),
        }
        self
    }

    /// Refuses calls on a connection whose certificate has expired since the handshake. The identity then has an
    /// [expiry](crate::Identity::expires_at), at which streams can be
    /// [ended](crate::AuthBuilder::end_streams_at_expiry).
    ///
    /// Off by default, as in Envoy and gRPC: a client that renews its certificate keeps its old connections. Turn it on
    /// if clients connect again after they have renewed it, or if the server limits the age of connections.
    pub fn check_expiry(mut self) -> Self {
        self.check_expiry = true;
        self
    }

    /// Trusts the proxies of a service mesh to name the caller in a header. In calls from them, only that header counts
    /// and never the proxy's own certificate: without the header, the caller has no certificate. In calls from other
    /// peers, the header is removed and the certificate of the connection counts.
    ///
    /// [`check_expiry`](Self::check_expiry) has no effect on such calls, because the header has no dates.
    pub fn behind(mut self, proxies: MeshProxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Builds the authenticator.
    ///
    /// # Errors
    ///
    /// If no caller is allowed, a name is invalid, or no proxy of the mesh is trusted: see [`MtlsError`].
    pub fn build(self) -> Result<Mtls, MtlsError> {
        match self.error {
            Some(error) => Err(error),
            None if self.allowed.is_empty() => Err(MtlsError::NoCallers),
            None => {
                let proxies = self.proxies.map(MeshProxies::compile).transpose()?;
                Ok(Mtls::new(self.allowed, self.check_expiry, proxies))
            }
        }
    }

    fn read(&mut self, text: &str) -> Option<SpiffeId> {
        match SpiffeId::parse(text) {
            Ok(id) if id.path().is_empty() => self.fail(MtlsError::NoPath(text.to_owned())),
            Ok(id) => return Some(id),
            Err(error) => self.fail(MtlsError::SpiffeId { text: text.to_owned(), error }),
        }
        None
    }

    /// Keeps the first error for [`build`](Self::build).
    fn fail(&mut self, error: MtlsError) {
        self.error.get_or_insert(error);
    }
}
