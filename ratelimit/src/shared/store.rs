use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic_call::guarded;

use super::digest::KeyDigest;
use super::error::StoreError;
use super::link::{Keeping, Link};
use super::nodes::Nodes;
use super::script::{Answer, Ask};
use super::source::Fallback;

/// The time that a decision may take, by default.
const BUDGET: Duration = Duration::from_millis(20);

/// Keeps quotas in Redis, so that several replicas share them: see [`redis`](crate::redis).
///
/// ```
/// # use std::time::Duration;
/// # use tonic_ratelimit_layer::{Fallback, Key, Quota, RateLimitLayer, RedisStore};
/// # fn layer() -> Result<RateLimitLayer, Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1:6379")?
///     .prefix("orders")
///     .fallback(Fallback::Local)
///     .replicas(3);
/// let layer = RateLimitLayer::server(Quota::per_second(100).by(Key::principal())).shared(store).build()?;
/// # Ok(layer)
/// # }
/// ```
///
/// Clones share one connection.
#[derive(Clone)]
pub struct RedisStore {
    nodes: Nodes,
    prefix: String,
    budget: Duration,
    replicas: u32,
    fallback: Fallback,
    remembers_refusals: bool,
    digest: KeyDigest,
    hook: Option<Arc<Hook>>,
    link: Arc<Link>,
}

type Hook = dyn Fn(&'static str, Duration) + Send + Sync;

impl RedisStore {
    /// A store at this URL: `redis://[[user]:password@]host[:port][/database]`, `redis+unix:///path`, or `rediss://`
    /// with a feature `redis-tls-*`.
    ///
    /// This does not wait for Redis, and does not fail if it is away. The connection is made at the first call.
    ///
    /// # Errors
    ///
    /// If the URL is not valid, or has `rediss://` without such a feature. The error does not contain the URL.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        Nodes::server(url).map(Self::at)
    }

    /// A store in a Redis Cluster, of which these URLs name some servers; the others are found. The user and the
    /// password are the same in all URLs.
    ///
    /// Redis Cluster takes from several quotas at once only if their keys are in one slot. So all shared quotas of a
    /// rule need the same [`Key`](crate::Key); otherwise building the layer fails, and names two that differ.
    ///
    /// ```
    /// # use tonic_ratelimit_layer::{RedisStore, StoreError};
    /// # fn store() -> Result<RedisStore, StoreError> {
    /// RedisStore::cluster(["redis://redis-0.internal:6379", "redis://redis-1.internal:6379"])
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and if there is no URL, or they differ in user, password, database or TLS.
    pub fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, StoreError> {
        let urls: Vec<U> = urls.into_iter().collect();
        Nodes::cluster(urls.iter().map(AsRef::as_ref)).map(Self::at)
    }

    /// A store in the primary that sentinels know by this name. They are asked for it whenever a connection is made,
    /// so also after a failover.
    ///
    /// The URLs are those of the sentinels, usually with port 26379. So are their user and password: for those of the
    /// primary, call [`credentials`](Self::credentials). The primary has TLS if the sentinels have it, and the
    /// database of the first URL.
    ///
    /// ```
    /// # use tonic_ratelimit_layer::{RedisStore, StoreError};
    /// # fn store(password: &str) -> Result<RedisStore, StoreError> {
    /// let sentinels = ["redis://sentinel-0.internal:26379", "redis://sentinel-1.internal:26379"];
    /// let store = RedisStore::sentinel(sentinels, "mymaster")?.credentials(None, password);
    /// # Ok(store)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and if there is no URL, or only some are `rediss://`. A name that no sentinel
    /// knows is an error of [`ready`](Self::ready).
    pub fn sentinel<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        master_name: &str,
    ) -> Result<Self, StoreError> {
        let urls: Vec<U> = urls.into_iter().collect();
        Nodes::sentinels(urls.iter().map(AsRef::as_ref), master_name).map(Self::at)
    }

    fn at(nodes: Nodes) -> Self {
        Self {
            nodes,
            prefix: "ratelimit".to_owned(),
            budget: BUDGET,
            replicas: 1,
            fallback: Fallback::default(),
            remembers_refusals: false,
            digest: KeyDigest::default(),
            hook: None,
            link: Arc::new(Link::new()),
        }
    }

    /// Sets the user (by default Redis's default user) and the password of the servers that keep the quotas, instead
    /// of those in the URL.
    #[must_use]
    pub fn credentials(self, user: Option<&str>, password: &str) -> Self {
        Self { nodes: self.nodes.log_in_as(user, password), ..self }
    }

    /// Trusts only these authorities, as PEM, for a `rediss://` URL; by default those of the system.
    ///
    /// # Errors
    ///
    /// If this is not PEM of certificates, or the URL is not `rediss://`.
    #[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
    pub fn authority(self, pem: impl AsRef<[u8]>) -> Result<Self, StoreError> {
        Ok(Self { nodes: self.nodes.trusting(pem.as_ref())?, ..self })
    }

    /// Sets what the names of keys in Redis begin with; by default `ratelimit`. Layers whose quotas must not be
    /// shared need different prefixes.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets how long a decision may take; by default 20 ms. After that the [fallback](Self::fallback) decides. Redis
    /// may have counted a call whose decision came too late.
    #[must_use]
    pub fn budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// Sets how many replicas there are, for [`Fallback::Local`]: each then enforces an equal share of a quota. By
    /// default 1, and each enforces the whole quota.
    ///
    /// A share has a burst of at least one call. A call that costs more than the burst of a share takes the whole
    /// burst.
    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        Self { replicas: replicas.max(1), ..self }
    }

    /// Sets what decides while Redis does not; by default [`Fallback::Local`].
    #[must_use]
    pub fn fallback(self, fallback: Fallback) -> Self {
        Self { fallback, ..self }
    }

    /// Remembers which callers have no call left, and refuses them without asking Redis until they have one again. So
    /// a caller that floods this process costs Redis hardly anything. By default Redis is asked for each call.
    ///
    /// Refusals are the same as Redis's, and what it would let pass passes, with two exceptions: keys that are deleted
    /// from Redis by hand stay refused until their time is over, and so does a caller whose time is cut short by a
    /// clock of Redis that is set forward. When the connection breaks or the breaker opens, everything is forgotten.
    /// [Shadow](crate::Limit::shadow) limits refuse nothing, and do not see the calls that are refused so.
    ///
    /// For each shared quota, at most [`max_keys`](crate::RateLimitBuilder::max_keys) callers are remembered.
    #[must_use]
    pub fn remember_refusals(self) -> Self {
        Self { remembers_refusals: true, ..self }
    }

    /// Sets a secret that is hashed with each key. Without it, a reader of Redis can find out a caller by trying all
    /// possible ones, for example all IPv4 addresses. All replicas need the same secret.
    #[must_use]
    pub fn secret(self, secret: impl AsRef<[u8]>) -> Self {
        Self { digest: KeyDigest::with_secret(secret.as_ref()), ..self }
    }

    /// Calls a hook after each decision about shared quotas, with what has decided (`redis`, `local`, `open`,
    /// `closed`, or `remembered` with [`remember_refusals`](Self::remember_refusals)) and how long that took: for a
    /// counter and a histogram.
    ///
    /// It runs in the call's own task and must not block. A panic in it is logged at `ERROR`.
    #[must_use]
    pub fn on_decision(
        self,
        hook: impl Fn(&'static str, Duration) + Send + Sync + 'static,
    ) -> Self {
        Self { hook: Some(Arc::new(hook)), ..self }
    }

    /// Whether calls are decided by Redis now; the error says why not. For a health check, if calls should go
    /// elsewhere while Redis is away from this replica, and for a gauge.
    ///
    /// # Errors
    ///
    /// If there is no connection, or the breaker is open.
    pub fn ready(&self) -> Result<(), StoreError> {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.link.start(|| self.keeping());
        }
        self.link.ready()
    }

    /// Waits until [`ready`](Self::ready) is not as it was, and returns what it is now: for a health check that
    /// follows it.
    ///
    /// It does not end while a connection that has broken is made anew; only if that fails, Redis is away.
    ///
    /// ```
    /// # use tonic_ratelimit_layer::RedisStore;
    /// # async fn follow(store: RedisStore, set_ready: impl Fn(bool)) {
    /// let mut is_ready = store.ready().is_ok();
    /// loop {
    ///     set_ready(is_ready);
    ///     is_ready = store.ready_changed(is_ready).await.is_ok();
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    pub async fn ready_changed(&self, was_ready: bool) -> Result<(), StoreError> {
        self.link.start(|| self.keeping());
        self.link.ready_changed(was_ready).await
    }

    /// Whether the breaker is open: no call waits for Redis, and a probe each second looks for it. For a gauge.
    pub fn is_breaker_open(&self) -> bool {
        self.link.is_open()
    }

    pub(crate) fn fallback_in_use(&self) -> Fallback {
        self.fallback
    }

    pub(crate) fn share_of(&self) -> u32 {
        self.replicas
    }

    pub(crate) fn remembers_refusals(&self) -> bool {
        self.remembers_refusals
    }

    /// The connection on which Redis decides now, if what it says is remembered.
    pub(crate) fn remembered_connection(&self) -> Option<u64> {
        if self.remembers_refusals { self.link.number() } else { None }
    }

    pub(crate) fn digest(&self) -> &KeyDigest {
        &self.digest
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.nodes.is_cluster()
    }

    /// Whether the prefix decides the slot of keys in a cluster.
    pub(crate) fn prefix_has_tag(&self) -> bool {
        self.prefix.contains('{')
    }

    /// The name of a key in Redis. In a cluster, keys with the same tag are in the same slot.
    pub(crate) fn key(&self, tag: Option<u128>, hash: u128) -> String {
        match tag {
            Some(tag) => format!("{}:{{{tag:032x}}}{hash:032x}", self.prefix),
            None => format!("{}:{hash:032x}", self.prefix),
        }
    }

    /// Decides a call; `None` if Redis does not, and the fallback has to.
    pub(crate) async fn decide(&self, asks: &[Ask]) -> Option<Answer> {
        let began = Instant::now();
        let fallback = self.fallback.as_str();
        self.link.start(|| self.keeping());
        let answer = self.link.decide(asks, self.budget, fallback).await;
        let source = if answer.is_some() { "redis" } else { fallback };
        self.report(source, began.elapsed());
        answer
    }

    /// Calls the hook.
    pub(crate) fn report(&self, source: &'static str, elapsed: Duration) {
        if let Some(hook) = &self.hook
            && guarded(|| hook(source, elapsed)).is_err()
        {
            tracing::error!(target: "tonic_ratelimit_layer", "the hook of a `RedisStore` panicked");
        }
    }

    fn keeping(&self) -> Keeping {
        Keeping {
            nodes: self.nodes.clone(),
            budget: self.budget,
            prefix: self.prefix.clone(),
            fallback: self.fallback.as_str(),
        }
    }
}

/// Without the URL, which can have a password in it.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("budget", &self.budget)
            .field("replicas", &self.replicas)
            .field("fallback", &self.fallback)
            .field("remembers_refusals", &self.remembers_refusals)
            .finish_non_exhaustive()
    }
}
