//! By which keys one call is limited.

use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher, RandomState};

use http::{HeaderName, request};
use tonic_call::{CallInfo, ClientNetwork, Rpc, TrustedProxies, sanitize};

use crate::hints::Hints;
use crate::key::{Key, KeyFn, Kind};
use tonic_call::guarded;

/// What a key is made of, fit for a table: nobody finds two that are the same.
pub(crate) type Hashed = u128;

/// Seeds of the hash: nobody knows them, so nobody can choose what is the same.
#[derive(Debug, Default)]
pub(crate) struct Seeds(RandomState, RandomState);

/// Two hashes of the same, with two seeds.
struct Twice(DefaultHasher, DefaultHasher);

impl Seeds {
    /// The hash of what `write` writes; of nothing, if it says false.
    pub(crate) fn hash(&self, write: impl FnOnce(&mut dyn Hasher) -> bool) -> Hashed {
        let mut hasher = self.begin(true);
        if !write(&mut hasher) {
            hasher = self.begin(false);
        }
        u128::from(hasher.0.finish()) << 64 | u128::from(hasher.1.finish())
    }

    fn begin(&self, some: bool) -> Twice {
        let mut hasher = Twice(self.0.build_hasher(), self.1.build_hasher());
        hasher.write_u8(some.into());
        hasher
    }
}

impl Hasher for Twice {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// One call, as keys see it. What several limits ask is found out once.
pub(crate) struct Caller<'a> {
    pub(crate) seeds: &'a Seeds,
    pub(crate) proxies: &'a TrustedProxies,
    pub(crate) hints: &'a Hints,
    pub(crate) rpc: &'a Rpc,
    pub(crate) head: &'a request::Parts,
    pub(crate) peer: Option<Hashed>,
    pub(crate) principal: Option<Hashed>,
}

impl Caller<'_> {
    pub(crate) fn hash(&mut self, key: &Key) -> Hashed {
        match &key.0 {
            Kind::Global => 0,
            Kind::Peer => match self.peer {
                Some(peer) => peer,
                None => *self.peer.insert(self.peer()),
            },
            Kind::Principal => match self.principal {
                Some(principal) => principal,
                None => *self.principal.insert(self.principal()),
            },
            Kind::Metadata(Ok(name)) => self.metadata(name),
            Kind::Metadata(Err(_)) => self.seeds.hash(|_| false),
            Kind::Function(function) => self.function(&**function),
        }
    }

    fn peer(&self) -> Hashed {
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

    fn principal(&self) -> Hashed {
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

    fn metadata(&self, name: &HeaderName) -> Hashed {
        self.seeds.hash(|mut hasher| {
            let mut some = false;
            for value in self.head.headers.get_all(name) {
                // With its length: two values are not one.
                value.as_bytes().hash(&mut hasher);
                some = true;
            }
            some
        })
    }

    fn function(&self, function: &KeyFn) -> Hashed {
        self.seeds.hash(|hasher| {
            guarded(|| function(self.rpc, self.head, hasher)).unwrap_or_else(|panic| {
                panicked(panic, "key", self.rpc, self.head);
                false
            })
        })
    }
}

/// Tells the operator of a panic in a function that is not ours.
pub(crate) fn panicked(panic: String, of: &'static str, rpc: &Rpc, head: &request::Parts) {
    tracing::error!(
        rpc.method = &*rpc.shown(),
        exception.message = %sanitize(&panic),
        of,
        "a function of a rate limit panicked"
    );
    if let Some(info) = CallInfo::of(&head.extensions) {
        info.set_panic(panic);
    }
}
