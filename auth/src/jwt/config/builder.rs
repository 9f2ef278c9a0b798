use std::fmt;
use std::net::IpAddr;

use super::issuer::Issuer;
use crate::decide::identity::Identity;
use crate::decide::incoming::Incoming;
use crate::jwt::keys::events::{KeysEvent, OnKeys};
#[cfg(feature = "mtls")]
use crate::mtls::proxies::MeshProxies;

/// Returns whether a token is revoked.
pub(crate) type Revoked = Box<dyn Fn(&Identity) -> bool + Send + Sync>;

/// Returns the address of a caller.
pub(crate) type AddressFn = Box<dyn Fn(&Incoming<'_>) -> Option<IpAddr> + Send + Sync>;

/// Builds a [`Jwt`](crate::Jwt) for several issuers, or with settings for all issuers.
#[must_use]
pub struct JwtBuilder {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) cache: usize,
    /// `None` is unlimited.
    pub(crate) failures: Option<u32>,
    pub(crate) address: Option<AddressFn>,
    pub(crate) behind: Vec<String>,
    pub(crate) revoked: Option<Revoked>,
    pub(crate) on_keys: OnKeys,
    /// Whether tokens that are bound to a certificate are verified, and the proxies that state the certificate.
    #[cfg(feature = "mtls")]
    pub(crate) bound: Option<Option<MeshProxies>>,
}

impl Default for JwtBuilder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            cache: 10_000,
            failures: Some(60),
            address: None,
            behind: Vec::new(),
            revoked: None,
            on_keys: OnKeys::default(),
            #[cfg(feature = "mtls")]
            bound: None,
        }
    }
}

impl JwtBuilder {
    /// Adds an issuer.
    pub fn issuer(mut self, issuer: impl Into<Issuer>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Sets how many verified tokens are cached. Default: 10,000. With 0, none.
    pub fn cache(self, tokens: usize) -> Self {
        Self { cache: tokens, ..self }
    }

    /// Limits how many bad tokens per minute one client address may send. Default: 60. At least 1. Further tokens of
    /// that address are refused without being verified, unless they are cached. Only tokens with an invalid
    /// signature count: all other checks are cheap.
    ///
    /// Behind a proxy, all callers have the proxy's address, so that the bad tokens of one caller affect all: name
    /// [its network](Self::behind), or set [the client's address](Self::client_address), or
    /// [disable](Self::any_failures) the limit. Callers on loopback or without an address are not limited. The
    /// addresses of one IPv6 /64 count as one.
    pub fn failures_per_minute(self, failures: u32) -> Self {
        Self { failures: Some(failures), ..self }
    }

    /// Disables the limit of bad tokens.
    pub fn any_failures(self) -> Self {
        Self { failures: None, ..self }
    }

    /// Trusts `x-forwarded-for` from proxies in these networks (`10.0.0.0/8`) or at these addresses. Bad tokens then
    /// count for the last address in the header that is not such a proxy. In calls from other peers, the header is
    /// ignored. Default: no proxy is trusted.
    pub fn behind<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.behind.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Sets a function that returns the client's address. Default: the peer of the connection, or with
    /// [`behind`](Self::behind) the address that the proxies name. Calls for which it returns `None` are not limited.
    /// It can't be combined with `behind`.
    pub fn client_address(
        self,
        of: impl Fn(&Incoming<'_>) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self { address: Some(Box::new(of)), ..self }
    }

    /// Sets a function that returns whether a token is revoked. It is called for each call, even if the token is
    /// cached. It runs in the call's own task and must not block. Running streams are not ended.
    pub fn revoked(self, is: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self { revoked: Some(Box::new(is)), ..self }
    }

    /// Sets a hook that is called after each fetch of keys: for metrics of results and of the keys' age.
    pub fn on_keys(self, hook: impl Fn(&KeysEvent<'_>) + Send + Sync + 'static) -> Self {
        Self { on_keys: OnKeys::new(hook), ..self }
    }
}

#[cfg(feature = "mtls")]
impl JwtBuilder {
    /// Accepts tokens that are bound to a client certificate (`cnf` with `x5t#S256`, RFC 8705 §3), if the connection of
    /// the call has that certificate; each call is checked, also if the token is cached. By default, tokens that are
    /// bound are refused.
    ///
    /// Tokens that are not bound are accepted as before. With [`behind_mesh`](Self::behind_mesh), the certificate can be
    /// that of a proxy's client.
    pub fn certificate_bound(mut self) -> Self {
        self.bound.get_or_insert(None);
        self
    }

    /// As [`certificate_bound`](Self::certificate_bound). In calls from a trusted proxy, the certificate is the one whose
    /// `Hash` is in the last element of `x-forwarded-client-cert`. Linkerd's header has no hash, so that behind it all
    /// tokens that are bound are refused.
    ///
    /// The headers of other peers are [removed](crate::mtls#behind-a-service-mesh).
    pub fn behind_mesh(mut self, proxies: MeshProxies) -> Self {
        self.bound = Some(Some(proxies));
        self
    }
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}
