use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tonic_ratelimit_layer::{Clock, RateLimitLayer};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::GlobalKeyExtractor;

use crate::limits::{BURST, ByPeer, EACH, built, by_peer, governor, ours, plenty, server};
use crate::subject::Subject;

const OURS: &str = "ratelimit";
const PEER: &str = "tower_governor";

/// A layer that limits, or none, for any number of threads: what its subjects count, they count together.
pub struct Limiter {
    /// What it is.
    pub name: &'static str,
    subject: Box<dyn Fn() -> Subject + Send + Sync>,
    expire: Box<dyn Fn() + Send + Sync>,
    forget: Box<dyn Fn() + Send + Sync>,
}

impl Limiter {
    /// None.
    pub fn none() -> Self {
        Self::new("bare", Subject::alone)
    }

    /// One limit of all calls: ours, and what one would use instead.
    pub fn global() -> [Self; 2] {
        let peer = governor(GlobalKeyExtractor, EACH, BURST);
        [Self::ours(ours(plenty())), Self::new(PEER, move || Subject::new(PEER, peer.clone()))]
    }

    /// One of each address, with room for so many in ours: its peer has no bound.
    pub fn by_peer(keys_at_most: usize) -> [Self; 2] {
        let peer = governor(ByPeer, EACH, BURST);
        [
            Self::ours(built(server(by_peer()).max_keys(keys_at_most))),
            Self::new(PEER, move || Subject::new(PEER, peer.clone())),
        ]
    }

    /// The same, in which what is kept of a key can lose its use before the next call.
    pub fn expiring(keys_at_most: usize) -> [Self; 2] {
        let now = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&now);
        let clock = Clock::new(move || Duration::from_secs(read.load(Ordering::Relaxed)));
        let ours = built(server(by_peer()).max_keys(keys_at_most).with_clock(clock));
        // Its clock can't be set.
        let each = Duration::from_micros(1);
        let mut config = GovernorConfigBuilder::default();
        let config = config.period(each).burst_size(BURST).key_extractor(ByPeer).finish();
        let config = config.expect("a possible quota");
        let keys = Arc::clone(config.limiter());
        let peer = GovernorLayer::new(config);
        let subject = move || Subject::new(PEER, peer.clone());
        [
            Self {
                expire: Box::new(move || now.store(EACH.as_secs() + 1, Ordering::Relaxed)),
                ..Self::ours(ours)
            },
            Self { forget: Box::new(move || keys.retain_recent()), ..Self::new(PEER, subject) },
        ]
    }

    fn ours(layer: RateLimitLayer) -> Self {
        Self::new(OURS, move || Subject::new(OURS, layer.clone()))
    }

    fn new(name: &'static str, subject: impl Fn() -> Subject + Send + Sync + 'static) -> Self {
        let nothing = || Box::new(|| ());
        Self { name, subject: Box::new(subject), expire: nothing(), forget: nothing() }
    }

    /// The service behind it.
    pub fn subject(&self) -> Subject {
        (self.subject)()
    }

    /// Lets so much time pass that nothing kept of any key has its use, if it was made for that.
    pub fn expire(&self) {
        (self.expire)();
    }

    /// Forgets what has lost its use: what a program with `tower_governor` does on a thread of its own, once in a
    /// while. Ours does so while calls come.
    pub fn forget(&self) {
        (self.forget)();
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("name", &self.name).finish_non_exhaustive()
    }
}
