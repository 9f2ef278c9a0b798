//! The proxies of a service mesh, which name the caller in a header.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, request};
use tonic_call::{Peer, SpiffeId, TrustedProxies};

use super::connection::{ByConnection, client_certificates};
use super::error::MtlsError;
use super::leaf::{Leaf, Names, dns_name, workload};
use super::xfcc::Element;
use crate::decide::failure::{Failure, Reason};

/// Envoy's header, which Istio uses, too.
const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// Linkerd's header.
const LINKERD: HeaderName = HeaderName::from_static("l5d-client-id");

/// The maximum length of `x-forwarded-client-cert`, in bytes: with `Cert` and `Chain` it contains certificates.
pub(crate) const MAX_XFCC_BYTES: usize = 32 * 1024;

/// The proxies of a service mesh that are trusted to name the caller in a header. Without a proxy that is trusted, it is
/// an error of `build`.
///
/// The header of a peer that is not trusted is removed before the handler sees it. See [`mtls`](crate::mtls) for what
/// each mesh provides.
///
/// ```
/// use tonic_auth_layer::Mtls;
/// use tonic_auth_layer::mtls::MeshProxies;
/// use tonic_call::TrustedProxies;
///
/// // Istio: the sidecar is in the same pod.
/// let mesh = MeshProxies::xfcc().networks(TrustedProxies::loopback());
/// let callers = Mtls::builder().trust_domain("cluster.local").behind(mesh).build()?;
/// # Ok::<(), tonic_auth_layer::MtlsError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MeshProxies {
    header: MeshHeader,
    networks: TrustedProxies,
    unix_socket: bool,
    ids: Vec<SpiffeId>,
    error: Option<MtlsError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MeshHeader {
    Xfcc,
    Linkerd,
}

impl MeshProxies {
    /// Proxies that send `x-forwarded-client-cert`: Envoy with `APPEND_FORWARD` or `SANITIZE_SET`, and Istio's
    /// sidecars. With `FORWARD_ONLY` or `ALWAYS_FORWARD_ONLY`, the header is the caller's own: don't trust it.
    pub fn xfcc() -> Self {
        Self::new(MeshHeader::Xfcc)
    }

    /// Proxies that send `l5d-client-id`: those of Linkerd.
    pub fn linkerd() -> Self {
        Self::new(MeshHeader::Linkerd)
    }

    fn new(header: MeshHeader) -> Self {
        let networks = TrustedProxies::default();
        Self { header, networks, unix_socket: false, ids: Vec::new(), error: None }
    }

    /// Trusts the peers in these networks, instead of those set before. Every process there can name any caller:
    /// prefer [`loopback`](TrustedProxies::loopback) or [`spiffe_id`](Self::spiffe_id) to the network of a cluster. Which
    /// address a sidecar has depends on the [mesh](crate::mtls#behind-a-service-mesh).
    pub fn networks(self, networks: TrustedProxies) -> Self {
        Self { networks, ..self }
    }

    /// Trusts the peers on Unix sockets. Every process that can open the socket can name any caller.
    pub fn unix_socket(self) -> Self {
        Self { unix_socket: true, ..self }
    }

    /// Trusts peers whose own client certificate has exactly this SPIFFE ID.
    pub fn spiffe_id(mut self, id: &str) -> Self {
        match SpiffeId::parse(id) {
            Ok(id) if id.path().is_empty() => {
                self.error.get_or_insert(MtlsError::NoPath(id.to_string()));
            }
            Ok(id) => self.ids.push(id),
            Err(error) => {
                self.error.get_or_insert(MtlsError::SpiffeId { text: id.to_owned(), error });
            }
        }
        self
    }

    pub(crate) fn compile(self) -> Result<Proxies, MtlsError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.networks.is_empty() && !self.unix_socket && self.ids.is_empty() {
            return Err(MtlsError::NoProxies);
        }
        Ok(Proxies(Arc::new(Inner { settings: self, known: ByConnection::new() })))
    }
}

/// [`MeshProxies`] that were checked.
#[derive(Clone, Debug)]
pub(crate) struct Proxies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: MeshProxies,
    /// Whether the client certificate of a connection is that of a proxy.
    known: ByConnection<bool>,
}

/// What a trusted proxy states about its client.
#[derive(Debug)]
pub(crate) enum Stated {
    Xfcc(Element),
    Linkerd(Names),
}

impl Proxies {
    /// Whether the peer of a request is a trusted proxy.
    pub(crate) fn trust(&self, extensions: &Extensions) -> bool {
        let settings = &self.0.settings;
        let by_address = match Peer::of(extensions) {
            Some(Peer::Unix(_)) => settings.unix_socket,
            Some(peer) => peer.ip().is_some_and(|ip| settings.networks.contains(ip)),
            None => false,
        };
        by_address || self.trust_certificate(extensions)
    }

    fn trust_certificate(&self, extensions: &Extensions) -> bool {
        let ids = &self.0.settings.ids;
        if ids.is_empty() {
            return false;
        }
        let Some(chain) = client_certificates(extensions) else { return false };
        let is_proxy = |leaf: Leaf| leaf.names.spiffe_id.is_some_and(|id| ids.contains(&id));
        self.0
            .known
            .get(&chain, |chain| {
                chain.first().is_some_and(|leaf| Leaf::read(leaf).is_ok_and(is_proxy))
            })
            .0
    }

    /// What the header of a trusted proxy states. `None` without the header: the proxy's client has no certificate.
    pub(crate) fn stated(&self, headers: &HeaderMap) -> Result<Option<Stated>, Failure> {
        match self.0.settings.header {
            MeshHeader::Xfcc => {
                let header = only(headers, &XFCC, "xfcc", MAX_XFCC_BYTES)?;
                header.map(|text| Element::last(text).map(Stated::Xfcc)).transpose()
            }
            MeshHeader::Linkerd => {
                let header = only(headers, &LINKERD, "l5d_client_id", 2048)?;
                header.map(|text| linkerd(text).map(Stated::Linkerd)).transpose()
            }
        }
    }

    /// The name of the header.
    pub(crate) fn source(&self) -> &'static str {
        match self.0.settings.header {
            MeshHeader::Xfcc => "x-forwarded-client-cert",
            MeshHeader::Linkerd => "l5d-client-id",
        }
    }
}

/// Removes the headers that no trusted proxy has set.
pub(crate) fn remove_untrusted(proxies: Option<&Proxies>, head: &mut request::Parts) {
    for (name, is) in [(XFCC, MeshHeader::Xfcc), (LINKERD, MeshHeader::Linkerd)] {
        if !head.headers.contains_key(&name) {
            continue;
        }
        let sends = |proxies: &&Proxies| proxies.0.settings.header == is;
        let proxies = proxies.filter(sends);
        if !proxies.is_some_and(|proxies| proxies.trust(&head.extensions)) {
            head.headers.remove(name);
        }
    }
}

/// The only value of a header. Proxies send one: of several, one can be the caller's.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    check: &'static str,
    longest: usize,
) -> Result<Option<&'a str>, Failure> {
    let malformed =
        |expected: String| Failure::new(Reason::CredentialsMalformed, check).expected(expected);
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("one value".to_owned()).received("several"));
    }
    if value.len() > longest {
        return Err(malformed(format!("{longest} bytes at most")));
    }
    let text = value.to_str().map_err(|_| malformed("visible ASCII".to_owned()))?;
    Ok(Some(text))
}

/// Linkerd's names are DNS names, or SPIFFE IDs outside of Kubernetes.
fn linkerd(text: &str) -> Result<Names, Failure> {
    if text.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("spiffe://")) {
        return Ok(Names { spiffe_id: Some(workload(text)?), dns: Vec::new() });
    }
    let malformed = || {
        Failure::new(Reason::CredentialsMalformed, "l5d_client_id")
            .expected("a DNS name or a SPIFFE ID")
            .received(text)
    };
    Ok(Names { spiffe_id: None, dns: vec![dns_name(text).ok_or_else(malformed)?] })
}

impl Stated {
    pub(crate) fn into_names(self) -> Result<Names, Failure> {
        match self {
            Self::Xfcc(element) => element.names(),
            Self::Linkerd(names) => Ok(names),
        }
    }

    /// SHA-256 of the certificate, if the proxy states it.
    #[cfg(feature = "jwt")]
    pub(crate) fn hash(&self) -> Option<[u8; 32]> {
        match self {
            Self::Xfcc(element) => element.hash,
            Self::Linkerd(_) => None,
        }
    }
}
