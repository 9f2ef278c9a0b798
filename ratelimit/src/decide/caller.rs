//! The keys of one call.

use std::hash::{Hash as _, Hasher};

use http::{HeaderName, request};
use tonic_call::{
    CallInfo, ClientNetwork, KeyHash, KeySeeds, Rpc, TrustedProxies, guarded, sanitize,
};

use super::hints::Hints;
use crate::limits::{Key, KeyFn, KeySource};

/// Hashes the keys of a layer.
#[derive(Debug, Default)]
pub(crate) struct Seeds(KeySeeds);

impl Seeds {
    /// The hash of what `write` writes; of nothing, if it returns false.
    pub(crate) fn hash(&self, write: impl FnOnce(&mut dyn Hasher) -> bool) -> KeyHash {
        let mut has_key = false;
        let hash = self.0.hash_with(|hasher| {
            hasher.write_u8(1);
            has_key = write(hasher);
        });
        if has_key { hash } else { self.0.hash_with(|hasher| hasher.write_u8(0)) }
    }
}

/// The call whose keys are computed. Keys that several limits use are computed once.
pub(crate) struct Caller<'a> {
    pub(crate) seeds: &'a Seeds,
    pub(crate) proxies: &'a TrustedProxies,
    pub(crate) hints: &'a Hints,
    pub(crate) rpc: &'a Rpc,
    pub(crate) head: &'a request::Parts,
    pub(crate) peer: Option<KeyHash>,
    pub(crate) principal: Option<KeyHash>,
}

impl Caller<'_> {
    pub(crate) fn hash(&mut self, key: &Key) -> KeyHash {
        match &key.0 {
            KeySource::Global => KeyHash::default(),
            KeySource::Peer => match self.peer {
                Some(peer) => peer,
                None => *self.peer.insert(self.peer()),
            },
            KeySource::Principal => match self.principal {
                Some(principal) => principal,
                None => *self.principal.insert(self.principal()),
            },
            KeySource::Metadata(Ok(name)) => self.metadata(name),
            KeySource::Metadata(Err(_)) => self.seeds.hash(|_| false),
            KeySource::Function(function) => self.function(&**function),
        }
    }

    fn peer(&self) -> KeyHash {
        let client = self.proxies.client_of(self.head);
        self.hints.peer(client);
        self.seeds.hash(|mut hasher| match client.map(ClientNetwork::of) {
            Some(network) => {
                network.hash(&mut hasher);
                true
            }
            None => false,
        })
    }

    fn principal(&self) -> KeyHash {
        let principal = CallInfo::of(&self.head.extensions).and_then(CallInfo::principal);
        self.hints.principal(principal.is_some());
        self.seeds.hash(|hasher| match &principal {
            Some(principal) => {
                hasher.write(principal.as_bytes());
                true
            }
            None => false,
        })
    }

    fn metadata(&self, name: &HeaderName) -> KeyHash {
        self.seeds.hash(|mut hasher| {
            let mut some = false;
            for value in self.head.headers.get_all(name) {
                // With its length, so that two values are not the same as one.
                value.as_bytes().hash(&mut hasher);
                some = true;
            }
            some
        })
    }

    fn function(&self, function: &KeyFn) -> KeyHash {
        self.seeds.hash(|hasher| {
            guarded(|| function(self.rpc, self.head, hasher)).unwrap_or_else(|panic| {
                panicked(panic, "key", self.rpc, self.head);
                false
            })
        })
    }
}

/// Reports a panic in a function of the user.
pub(crate) fn panicked(panic: String, of: &'static str, rpc: &Rpc, head: &request::Parts) {
    tracing::error!(
        target: "tonic_ratelimit_layer",
        {
            rpc.method = &*rpc.shown(),
            exception.message = %sanitize(&panic),
            of,
        },
        "a function of a rate limit panicked"
    );
    if let Some(info) = CallInfo::of(&head.extensions) {
        info.set_panic(panic);
    }
}
