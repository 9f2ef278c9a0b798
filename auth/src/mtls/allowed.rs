//! The callers that are allowed, and who a caller is.

use std::fmt;

use tonic_call::SpiffeId;

use super::leaf::Names;
use crate::decide::failure::{Failure, Reason};
use crate::decide::identity::Identity;

/// The allow-list. A caller passes if one entry matches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) trust_domains: Vec<String>,
    /// IDs whose path is a prefix, in whole segments.
    pub(crate) prefixes: Vec<SpiffeId>,
    pub(crate) ids: Vec<SpiffeId>,
    /// In lower case.
    pub(crate) dns: Vec<String>,
}

/// The caller that a certificate names: [`Identity::data`] of an identity that [`Mtls`](crate::Mtls) has created.
///
/// ```
/// use tonic_auth_layer::Identity;
/// use tonic_auth_layer::mtls::MtlsCaller;
///
/// fn workload(caller: &Identity) -> Option<&str> {
///     caller.data::<MtlsCaller>()?.spiffe_id().map(|id| id.path())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsCaller {
    name: Name,
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Spiffe(SpiffeId),
    Dns(String),
}

impl MtlsCaller {
    /// The SPIFFE ID, if the caller was allowed by it.
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        match &self.name {
            Name::Spiffe(id) => Some(id),
            Name::Dns(_) => None,
        }
    }

    /// The DNS name in lower case, if the caller was allowed by it.
    pub fn dns_name(&self) -> Option<&str> {
        match &self.name {
            Name::Dns(name) => Some(name),
            Name::Spiffe(_) => None,
        }
    }

    /// Where the name comes from: `connection`, `x-forwarded-client-cert` or `l5d-client-id`.
    pub fn source(&self) -> &'static str {
        self.source
    }

    fn as_str(&self) -> &str {
        match &self.name {
            Name::Spiffe(id) => id.as_str(),
            Name::Dns(name) => name,
        }
    }

    /// The identity, with the name as its subject.
    pub(crate) fn into_identity(self) -> Identity {
        Identity::new("mtls").with_subject(self.as_str()).with_data(self)
    }
}

impl fmt::Display for MtlsCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The source of a name in the certificate of the connection.
pub(crate) const CONNECTION: &str = "connection";

impl Allowed {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { trust_domains, prefixes, ids, dns } = self;
        trust_domains.is_empty() && prefixes.is_empty() && ids.is_empty() && dns.is_empty()
    }

    /// The caller that a certificate names: its SPIFFE ID, or a DNS name if it has none.
    ///
    /// A SPIFFE ID is verified with the CAs of its trust domain, and DNS names with any. If the DNS names beside a SPIFFE
    /// ID counted, the CA of one trust domain could name the hosts of all.
    pub(crate) fn caller(&self, names: Names, source: &'static str) -> Result<MtlsCaller, Failure> {
        let Names { spiffe_id, dns } = names;
        let name = match spiffe_id {
            Some(id) if self.has_id(&id) => Name::Spiffe(id),
            Some(id) => return Err(self.refused_id(&id)),
            None => match dns.iter().find(|name| self.dns.contains(name)) {
                Some(name) => Name::Dns(name.clone()),
                None => return Err(self.refused_dns(&dns)),
            },
        };
        Ok(MtlsCaller { name, source })
    }

    fn has_id(&self, id: &SpiffeId) -> bool {
        self.trust_domains.iter().any(|name| name == id.trust_domain())
            || self.ids.contains(id)
            || self.prefixes.iter().any(|prefix| is_below(id, prefix))
    }

    fn refused_dns(&self, names: &[String]) -> Failure {
        let expected = match self.dns.is_empty() {
            true => "a SPIFFE ID",
            false => "an allowed DNS name",
        };
        let received = names.join(", ");
        Failure::new(Reason::AccessDenied, "dns_name").expected(expected).received(&received)
    }

    /// An ID of another trust domain is invalid here; one of a known trust domain lacks the permission.
    fn refused_id(&self, id: &SpiffeId) -> Failure {
        let mut known = self.prefixes.iter().chain(&self.ids).map(SpiffeId::trust_domain);
        let (reason, check, expected) = if known.any(|name| name == id.trust_domain()) {
            (Reason::AccessDenied, "spiffe_id", "an allowed SPIFFE ID")
        } else if self.trust_domains.is_empty() && self.prefixes.is_empty() && self.ids.is_empty() {
            (Reason::TokenInvalid, "trust_domain", "a certificate without a SPIFFE ID")
        } else {
            (Reason::TokenInvalid, "trust_domain", "an allowed trust domain")
        };
        Failure::new(reason, check).expected(expected).received(id.as_str())
    }
}

/// Whether the path is that of the prefix, or begins with its segments.
fn is_below(id: &SpiffeId, prefix: &SpiffeId) -> bool {
    let rest = id.path().strip_prefix(prefix.path());
    id.trust_domain() == prefix.trust_domain()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
