//! The keys of one call.

use std::hash::{Hash, Hasher};

use http::{HeaderName, request};
use tonic_call::{
    CallInfo, ClientNetwork, KeyHash, KeySeeds, Rpc, TrustedProxies, guarded, sanitize,
};

use super::hints::Hints;
use crate::limits::{Key, KeyFn, KeySource};

/// Hashes the keys of a layer.
#[derive(Debug, Default)]
pub(crate) struct Seeds(KeySeeds);

/// Hashes the keys of calls.
pub(crate) trait KeyHasher {
    type Hash: Copy + Default + Hash;

    /// The hash of everything that `write` writes.
    fn hash_all(&self, write: impl FnOnce(&mut dyn Hasher)) -> Self::Hash;

    /// The hash of a key, which should have few bytes.
    fn hash_short(&self, key: impl Hash) -> Self::Hash {
        let mut short = Short::default();
        short.write_u8(1);
        key.hash(&mut short);
        match short.bytes.get(..short.len) {
            Some(bytes) => self.hash_all(|hasher| hasher.write(bytes)),
            None => self.hash(|mut hasher| {
                key.hash(&mut hasher);
                true
            }),
        }
    }

    /// The hash of what `write` writes; of nothing, if it returns false.
    fn hash(&self, write: impl FnOnce(&mut dyn Hasher) -> bool) -> Self::Hash {
        let mut has_key = false;
        let hash = self.hash_all(|hasher| {
            hasher.write_u8(1);
            has_key = write(hasher);
        });
        if has_key { hash } else { self.hash_of_none() }
    }

    /// The hash for all calls without a key.
    fn hash_of_none(&self) -> Self::Hash {
        self.hash_all(|hasher| hasher.write_u8(0))
    }
}

/// Collects the bytes of a short key, so that they are hashed in one piece.
#[derive(Default)]
struct Short {
    bytes: [u8; 32],
    /// More than there is room for if the key is not short.
    len: usize,
}

impl KeyHasher for Seeds {
    type Hash = KeyHash;

    fn hash_all(&self, write: impl FnOnce(&mut dyn Hasher)) -> KeyHash {
        self.0.hash_with(write)
    }
}

#[cfg(feature = "redis")]
impl KeyHasher for crate::shared::KeyDigest {
    type Hash = u128;

    fn hash_all(&self, write: impl FnOnce(&mut dyn Hasher)) -> u128 {
        self.hash_with(write)
    }
}

impl Hasher for Short {
    fn write(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Never called: the bytes are hashed.
    fn finish(&self) -> u64 {
        0
    }
}

/// The call whose keys are computed. Keys that several limits use are computed once.
pub(crate) struct Caller<'a, H: KeyHasher> {
    pub(crate) seeds: &'a H,
    pub(crate) proxies: &'a TrustedProxies,
    pub(crate) hints: &'a Hints,
    pub(crate) rpc: &'a Rpc,
    pub(crate) head: &'a request::Parts,
    pub(crate) peer: Option<H::Hash>,
    pub(crate) principal: Option<H::Hash>,
}

impl<H: KeyHasher> Caller<'_, H> {
    pub(crate) fn hash(&mut self, key: &Key) -> H::Hash {
        match &key.0 {
            KeySource::Global => H::Hash::default(),
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

    fn peer(&self) -> H::Hash {
        let client = self.proxies.client_of(self.head);
        self.hints.peer(client);
        client
            .map(ClientNetwork::of)
            .map_or_else(|| self.seeds.hash_of_none(), |network| self.seeds.hash_short(network))
    }

    fn principal(&self) -> H::Hash {
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

    fn metadata(&self, name: &HeaderName) -> H::Hash {
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

    fn function(&self, function: &KeyFn) -> H::Hash {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_another_hash_however_long_it_is() {
        let seeds = Seeds::default();
        let keys: Vec<Vec<u8>> = (0..100).map(|len| vec![7; len]).collect();
        let mut hashes: Vec<_> = keys.iter().map(|key| seeds.hash_short(key)).collect();
        hashes.push(seeds.hash_of_none());
        for (place, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..place].contains(hash), "{place}");
        }
        assert!(keys.iter().zip(&hashes).all(|(key, hash)| seeds.hash_short(key) == *hash));
    }
}
