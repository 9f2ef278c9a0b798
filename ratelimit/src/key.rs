use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::{HeaderName, request};
use tonic_call::Rpc;

/// By what calls share a limit. See [`keys`](crate::keys) for which to choose.
///
/// Of a key only a hash is kept: 128 bits, seeded anew for each layer.
#[derive(Clone)]
pub struct Key(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Global,
    Peer,
    Principal,
    /// The error is the name that can't be one.
    Metadata(Result<HeaderName, String>),
    Function(Arc<KeyFn>),
}

/// Writes the key of a call; false says that it has none.
pub(crate) type KeyFn = dyn Fn(&Rpc, &request::Parts, &mut dyn Hasher) -> bool + Send + Sync;

impl Key {
    /// All calls share one limit. What a [`Quota`](crate::Quota) has by default.
    pub fn global() -> Self {
        Self(Kind::Global)
    }

    /// The caller's address: of IPv4 all of it, of IPv6 the first 64 bits, since who has one of those has
    /// them all. An IPv4 address in IPv6 (`::ffff:192.0.2.1`) is the one of IPv4.
    ///
    /// Calls that come over a Unix socket, or whose server does not say from where, share one limit.
    /// Behind proxies it is the proxy's, unless the layer [knows them](crate::RateLimitBuilder::behind).
    pub fn peer() -> Self {
        Self(Kind::Peer)
    }

    /// Who is calling, as an authenticating layer further out has found
    /// ([`CallInfo::principal`](tonic_call::CallInfo::principal)). Callers who are not known share one
    /// limit.
    pub fn principal() -> Self {
        Self(Kind::Principal)
    }

    /// The value of that metadata: all of it, as it was sent (of `…-bin` the base64), and if there are
    /// several values, all of them in their order. Calls without it share one limit.
    ///
    /// Whoever may send what he likes chooses his key: see [`keys`](crate::keys).
    pub fn metadata(name: &str) -> Self {
        Self(Kind::Metadata(HeaderName::from_bytes(name.as_bytes()).map_err(|_| name.to_owned())))
    }

    /// What a function says of a call. Those of which it says `None` share one limit; so do those for
    /// which it panics, which is logged at `ERROR`.
    ///
    /// It runs where the call comes in: it must not block.
    ///
    /// ```
    /// use tonic_ratelimit_layer::Key;
    ///
    /// let by_tenant_and_method = Key::function(|rpc, head| {
    ///     let tenant = head.headers.get("x-tenant")?.as_bytes().to_vec();
    ///     Some((tenant, rpc.full().to_owned()))
    /// });
    /// ```
    pub fn function<F, K>(key: F) -> Self
    where
        F: Fn(&Rpc, &request::Parts) -> Option<K> + Send + Sync + 'static,
        K: Hash,
    {
        Self(Kind::Function(Arc::new(move |rpc, head, mut hasher| match key(rpc, head) {
            Some(key) => {
                key.hash(&mut hasher);
                true
            }
            None => false,
        })))
    }

    /// Its kind: `global`, `peer`, `principal`, `metadata` or `function`.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            Kind::Global => "global",
            Kind::Peer => "peer",
            Kind::Principal => "principal",
            Kind::Metadata(_) => "metadata",
            Kind::Function(_) => "function",
        }
    }

    pub(crate) fn is_global(&self) -> bool {
        matches!(self.0, Kind::Global)
    }

    /// Whether calls that have the same key by this one have the same by the other: of functions only a
    /// clone is certainly the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Global, Kind::Global)
            | (Kind::Peer, Kind::Peer)
            | (Kind::Principal, Kind::Principal) => true,
            (Kind::Metadata(one), Kind::Metadata(other)) => one == other,
            (Kind::Function(one), Kind::Function(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        match &self.0 {
            Kind::Metadata(Err(name)) => {
                Some(format!("has a key by {name:?}, which can't be the name of metadata"))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Metadata(Ok(name)) => write!(f, "metadata:{name}"),
            _ => f.write_str(self.kind()),
        }
    }
}
