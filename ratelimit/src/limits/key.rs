use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::{HeaderName, request};
use tonic_call::Rpc;

/// Which calls share a limit. [`keys`](crate::keys) helps to choose one.
///
/// Only a hash of the key is stored: 128 bits, with random seeds for each layer.
#[derive(Clone)]
pub struct Key(pub(crate) KeySource);

#[derive(Clone)]
pub(crate) enum KeySource {
    Global,
    Peer,
    Principal,
    /// The error is a name that is not valid.
    Metadata(Result<HeaderName, String>),
    Function(Arc<KeyFn>),
}

/// Writes the key of a call; returns false if the call has none.
pub(crate) type KeyFn = dyn Fn(&Rpc, &request::Parts, &mut dyn Hasher) -> bool + Send + Sync;

impl Key {
    /// All calls share one limit. This is the default.
    pub fn global() -> Self {
        Self(KeySource::Global)
    }

    /// The caller's address: the whole IPv4 address, or the first 64 bits of an IPv6 address, since one caller
    /// usually has a whole /64. An IPv4 address in IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
    ///
    /// Calls over a Unix socket, and calls whose server does not know the address, share one limit. Behind a proxy
    /// this is the proxy's address, unless the layer [trusts the proxy](crate::RateLimitBuilder::behind).
    pub fn peer() -> Self {
        Self(KeySource::Peer)
    }

    /// The authenticated caller, as an authentication layer outside this one has set it
    /// ([`CallInfo::principal`](tonic_call::CallInfo::principal)). Callers without a principal share one limit.
    pub fn principal() -> Self {
        Self(KeySource::Principal)
    }

    /// The value of a metadata key, exactly as it was sent (the base64 text of `…-bin`); if there are several values,
    /// all of them in order. Calls without it share one limit.
    ///
    /// A caller that can send any value chooses its own key: see [`keys`](crate::keys).
    pub fn metadata(name: &str) -> Self {
        Self(KeySource::Metadata(
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| name.to_owned()),
        ))
    }

    /// What a function returns for a call. Calls for which it returns `None` share one limit, and so do calls for
    /// which it panics; a panic is logged at `ERROR`.
    ///
    /// The function must not block.
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
        Self(KeySource::Function(Arc::new(move |rpc, head, mut hasher| match key(rpc, head) {
            Some(key) => {
                key.hash(&mut hasher);
                true
            }
            None => false,
        })))
    }

    /// The kind of key: `global`, `peer`, `principal`, `metadata` or `function`.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            KeySource::Global => "global",
            KeySource::Peer => "peer",
            KeySource::Principal => "principal",
            KeySource::Metadata(_) => "metadata",
            KeySource::Function(_) => "function",
        }
    }

    pub(crate) fn is_global(&self) -> bool {
        matches!(self.0, KeySource::Global)
    }

    /// Whether both give all calls the same keys. Two functions are the same only if one is a clone of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (KeySource::Global, KeySource::Global)
            | (KeySource::Peer, KeySource::Peer)
            | (KeySource::Principal, KeySource::Principal) => true,
            (KeySource::Metadata(one), KeySource::Metadata(other)) => one == other,
            (KeySource::Function(one), KeySource::Function(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        match &self.0 {
            KeySource::Metadata(Err(name)) => {
                Some(format!("has a key by {name:?}, which is not a valid metadata name"))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            KeySource::Metadata(Ok(name)) => write!(f, "metadata:{name}"),
            _ => f.write_str(self.kind()),
        }
    }
}
