//! Which client certificates are accepted, and which proxies may name the certificate of their client.

use std::str::FromStr;

use tonic_auth_layer::mtls::MeshProxies;
use tonic_auth_layer::{Mtls, MtlsError};
use tonic_call::{SpiffeId, TrustedProxies};

/// The callers that are allowed by their client certificate. Without one, callers need no certificate.
#[derive(Clone, Debug, Default)]
pub struct CertificateConfig {
    /// The SPIFFE IDs of the allowed callers.
    pub callers: Vec<SpiffeCallers>,
    /// The proxies whose `x-forwarded-client-cert` names the caller.
    pub proxies: Vec<MeshProxy>,
    /// Whether TLS verifies the certificates of clients. Tokens can then be bound to one.
    pub verified: bool,
}

/// Callers by the SPIFFE ID in their certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpiffeCallers {
    /// The workload with this SPIFFE ID.
    Workload(String),
    /// The workload with this SPIFFE ID, and those below it.
    Below(String),
    /// All workloads of this trust domain.
    TrustDomain(String),
}

/// A proxy of a service mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeshProxy {
    /// On this machine, or in this pod.
    Loopback,
    /// In this network, or at this address.
    Network(String),
    /// With this SPIFFE ID in its own certificate.
    Workload(String),
}

impl FromStr for SpiffeCallers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, is_prefix) = match text.strip_suffix("/*") {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        let id = SpiffeId::parse(text).map_err(|error| {
            format!("must be a SPIFFE ID, such as spiffe://prod.example/billing or spiffe://prod.example/billing/*: {error}")
        })?;
        match (is_prefix, id.path()) {
            (true, "") => Ok(Self::TrustDomain(id.trust_domain().to_owned())),
            (true, _) => Ok(Self::Below(id.to_string())),
            (false, "") => Err(format!("has no path: {id}/* allows the whole trust domain")),
            (false, _) => Ok(Self::Workload(id.to_string())),
        }
    }
}

impl FromStr for MeshProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "loopback" {
            return Ok(Self::Loopback);
        }
        if let Ok(id) = SpiffeId::parse(text) {
            return match id.path() {
                "" => Err("has no path: it must be the SPIFFE ID of one proxy".to_owned()),
                _ => Ok(Self::Workload(id.to_string())),
            };
        }
        TrustedProxies::new([text]).map_err(|_| {
            "must be loopback, a network such as 10.0.0.0/8, an address, or the SPIFFE ID of a proxy"
        })?;
        match text.rsplit_once('/').map(|(_, bits)| bits.parse()) {
            Some(Ok(0)) => Err("every peer could then name any caller".to_owned()),
            _ => Ok(Self::Network(text.to_owned())),
        }
    }
}

impl CertificateConfig {
    /// Whether callers need a certificate.
    pub(crate) fn is_required(&self) -> bool {
        !self.callers.is_empty()
    }

    /// The authenticator; `None` if callers need no certificate.
    pub(super) fn authenticator(&self) -> Result<Option<Mtls>, MtlsError> {
        if !self.is_required() {
            return Ok(None);
        }
        let mtls = self.callers.iter().fold(Mtls::builder(), |mtls, callers| match callers {
            SpiffeCallers::Workload(id) => mtls.spiffe_id(id),
            SpiffeCallers::Below(id) => mtls.path_prefix(id),
            SpiffeCallers::TrustDomain(name) => mtls.trust_domain(name),
        });
        let mtls = match self.mesh() {
            Some(mesh) => mtls.behind(mesh),
            None => mtls,
        };
        mtls.build().map(Some)
    }

    /// The trusted proxies, if there are any.
    pub(super) fn mesh(&self) -> Option<MeshProxies> {
        if self.proxies.is_empty() {
            return None;
        }
        let loopback = ["127.0.0.0/8", "::1"];
        let networks = self.proxies.iter().flat_map(|proxy| match proxy {
            MeshProxy::Loopback => loopback.to_vec(),
            MeshProxy::Network(text) => vec![text.as_str()],
            MeshProxy::Workload(_) => Vec::new(),
        });
        // They were checked when they were parsed.
        let networks = TrustedProxies::new(networks).unwrap_or_default();
        let mesh = MeshProxies::xfcc().networks(networks);
        Some(self.proxies.iter().fold(mesh, |mesh, proxy| match proxy {
            MeshProxy::Workload(id) => mesh.spiffe_id(id),
            MeshProxy::Loopback | MeshProxy::Network(_) => mesh,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_one_workload_those_below_it_or_a_trust_domain() {
        let parsed = |text: &str| text.parse::<SpiffeCallers>();
        let id = "spiffe://prod.example/billing".to_owned();
        assert_eq!(parsed(&id), Ok(SpiffeCallers::Workload(id.clone())));
        assert_eq!(parsed(&format!("{id}/*")), Ok(SpiffeCallers::Below(id)));
        let domain = SpiffeCallers::TrustDomain("prod.example".to_owned());
        assert_eq!(parsed("spiffe://prod.example/*"), Ok(domain));
        for (wrong, part) in [
            ("spiffe://prod.example", "spiffe://prod.example/* allows the whole trust domain"),
            ("prod.example/billing", "must be a SPIFFE ID"),
            ("spiffe:///billing", "must be a SPIFFE ID"),
            ("spiffe://prod.example/", "must be a SPIFFE ID"),
            ("spiffe://prod.example/billing/", "must be a SPIFFE ID"),
            ("spiffe://prod.example/bill*", "must be a SPIFFE ID"),
            ("spiffe://*/billing", "must be a SPIFFE ID"),
            ("*", "must be a SPIFFE ID"),
            ("/*", "must be a SPIFFE ID"),
            ("", "must be a SPIFFE ID"),
        ] {
            let error = parsed(wrong).expect_err(wrong);
            assert!(error.contains(part), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn proxies_are_on_this_machine_in_a_network_or_have_a_certificate() {
        let parsed = |text: &str| text.parse::<MeshProxy>();
        assert_eq!(parsed("loopback"), Ok(MeshProxy::Loopback));
        for network in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"] {
            assert_eq!(parsed(network), Ok(MeshProxy::Network(network.to_owned())));
        }
        let id = "spiffe://prod.example/gateway".to_owned();
        assert_eq!(parsed(&id), Ok(MeshProxy::Workload(id)));
        for (wrong, part) in [
            ("localhost", "must be loopback"),
            ("10.0.0.0/33", "must be loopback"),
            ("", "must be loopback"),
            ("spiffe://prod.example/*", "must be loopback"),
            ("spiffe://prod.example", "one proxy"),
            ("0.0.0.0/0", "every peer"),
            ("::/0", "every peer"),
        ] {
            let error = parsed(wrong).expect_err(wrong);
            assert!(error.contains(part), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn what_was_parsed_is_what_the_authenticator_accepts() {
        let callers = ["spiffe://a.test/b", "spiffe://a.test/b/*", "spiffe://a.test/*"];
        let proxies = ["loopback", "10.0.0.0/8", "::1", "spiffe://a.test/proxy"];
        let config = CertificateConfig {
            callers: callers.map(|text| text.parse().expect(text)).to_vec(),
            proxies: proxies.map(|text| text.parse().expect(text)).to_vec(),
            verified: true,
        };
        assert!(config.authenticator().expect("valid").is_some());
        let nobody = CertificateConfig::default().authenticator();
        assert!(nobody.expect("valid").is_none());
    }
}
