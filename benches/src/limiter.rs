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

/// A limiting layer, or no layer, for any number of threads. Its subjects share their limits.
pub struct Limiter {
    /// The name of the layer.
    pub name: &'static str,
    subject: Box<dyn Fn() -> Subject + Send + Sync>,
    expire: Box<dyn Fn() + Send + Sync>,
    forget: Box<dyn Fn() + Send + Sync>,
}

impl Limiter {
    /// No limiter: the bare service.
    pub fn none() -> Self {
        Self::new("bare", Subject::alone)
    }

    /// One limit for all calls: our layer, and the alternative.
    pub fn global() -> [Self; 2] {
        let peer = governor(GlobalKeyExtractor, EACH, BURST);
        [Self::ours(ours(plenty())), Self::new(PEER, move || Subject::new(PEER, peer.clone()))]
    }

    /// One limit per address. Our layer has room for this many keys; the alternative has no bound.
    pub fn by_peer(keys_at_most: usize) -> [Self; 2] {
        let peer = governor(ByPeer, EACH, BURST);
        [
            Self::ours(built(server(by_peer()).max_keys(keys_at_most))),
            Self::new(PEER, move || Subject::new(PEER, peer.clone())),
        ]
    }

    /// Like [`by_peer`](Self::by_peer), but keys can expire before the next call.
    pub fn expiring(keys_at_most: usize) -> [Self; 2] {
        let now = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&now);
        let clock = Clock::new(move || Duration::from_secs(read.load(Ordering::Relaxed)));
        let ours = built(server(by_peer()).max_keys(keys_at_most).with_clock(clock));
        // The alternative's clock can't be set.
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

    /// A subject behind this limiter.
    pub fn subject(&self) -> Subject {
        (self.subject)()
    }

    /// Advances the clock until all keys have expired, if the limiter has such a clock.
    pub fn expire(&self) {
        (self.expire)();
    }

    /// Removes expired keys. A program with `tower_governor` does this now and then on its own thread; our layer does
    /// it during calls.
    pub fn forget(&self) {
        (self.forget)();
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("name", &self.name).finish_non_exhaustive()
    }
}
