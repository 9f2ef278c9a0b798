//! The servers of Redis: one, a cluster, or those whose primary sentinels know.

use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, RedisError};

use super::connection::Connection;
use super::error::StoreError;
use super::sentinels::{self, Primary};
use super::server::{PROBE_INTERVAL, Trust, connect_to, is_tls};

/// How often a decision is sent again: a slot has moved, and then its keys move while it is asked for.
const RETRIES: u32 = 3;

/// The longest time for a connection to one server of a cluster. One that does not answer must not use up the time of a
/// probe: another can have its slots.
const CONNECT: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Nodes {
    kind: Kind,
    /// Of the URLs: at least one.
    infos: Vec<ConnectionInfo>,
    trust: Trust,
}

#[derive(Clone)]
enum Kind {
    Server,
    Cluster,
    Sentinels(Primary),
}

impl Nodes {
    pub(super) fn server(url: &str) -> Result<Self, StoreError> {
        Self::new(Kind::Server, [url])
    }

    /// A cluster that has the servers of these URLs.
    pub(super) fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, StoreError> {
        let nodes = Self::new(Kind::Cluster, urls)?;
        nodes.cluster_client().map_err(|_| StoreError::Urls)?;
        Ok(nodes)
    }

    /// The primary of this name, which the sentinels of these URLs know. It has the database of the first URL.
    pub(super) fn sentinels<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        name: &str,
    ) -> Result<Self, StoreError> {
        let mut login = RedisConnectionInfo::default();
        let mut nodes = Self::new(Kind::Server, urls)?;
        let first = nodes.infos.first().ok_or(StoreError::Urls)?;
        login = login.set_db(first.redis_settings().db());
        login = login.set_protocol(first.redis_settings().protocol());
        let has_tls = is_tls(first);
        if nodes.infos.iter().any(|info| is_tls(info) != has_tls) {
            return Err(StoreError::Urls);
        }
        // A sentinel has no databases.
        nodes.update(|login| login.set_db(0));
        nodes.kind = Kind::Sentinels(Primary { name: name.to_owned(), login });
        Ok(nodes)
    }

    fn new<'a>(kind: Kind, urls: impl IntoIterator<Item = &'a str>) -> Result<Self, StoreError> {
        let infos: Result<_, _> = urls.into_iter().map(parse).collect();
        Ok(Self { kind, infos: infos?, trust: Trust::default() })
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster)
    }

    /// Logs in as this user at the servers that have the keys.
    pub(super) fn log_in_as(mut self, user: Option<&str>, password: &str) -> Self {
        let update = |login: RedisConnectionInfo| {
            // The URL can have another one.
            login.set_username(user.unwrap_or("default")).set_password(password)
        };
        match &mut self.kind {
            Kind::Sentinels(primary) => primary.login = update(primary.login.clone()),
            Kind::Server | Kind::Cluster => self.update(update),
        }
        self
    }

    fn update(&mut self, update: impl Fn(RedisConnectionInfo) -> RedisConnectionInfo) {
        for info in &mut self.infos {
            *info = info.clone().set_redis_settings(update(info.redis_settings().clone()));
        }
    }

    /// The same servers, of which only those are trusted that these authorities have certified.
    #[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
    pub(super) fn trusting(mut self, pem: &[u8]) -> Result<Self, StoreError> {
        self.trust = Trust::only(super::tls::authorities(pem)?);
        for info in &self.infos {
            self.trust.client(info.clone()).map_err(|_| StoreError::Authority)?;
        }
        Ok(self)
    }

    /// Connects to what has the keys.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        match &self.kind {
            Kind::Server => {
                let info = self.infos.first().ok_or(StoreError::Urls)?;
                let server = connect_to(self.trust.client(info.clone())).await;
                server.map(Connection::Server).map_err(|error| StoreError::of(&error))
            }
            Kind::Cluster => self.connect_to_cluster().await,
            Kind::Sentinels(primary) => {
                sentinels::connect(&self.infos, &self.trust, primary).await.map(Connection::Server)
            }
        }
    }

    async fn connect_to_cluster(&self) -> Result<Connection, StoreError> {
        let client = self.cluster_client().map_err(|_| StoreError::Urls)?;
        let failed = match client.get_async_connection().await {
            Ok(cluster) => return Ok(Connection::Cluster(cluster)),
            Err(failed) => failed,
        };
        // That error does not say whether it is the password, the certificate, or the network.
        for info in &self.infos {
            if let Err(failed) = connect_to(self.trust.client(info.clone())).await {
                return Err(StoreError::of(&failed));
            }
        }
        Err(StoreError::of(&failed))
    }

    fn cluster_client(&self) -> Result<ClusterClient, RedisError> {
        let builder = ClusterClientBuilder::new(self.infos.clone())
            .connection_timeout(CONNECT)
            .response_timeout(PROBE_INTERVAL)
            .retries(RETRIES)
            // Milliseconds.
            .min_retry_wait(1)
            .max_retry_wait(5);
        self.trust.of_cluster(builder).build()
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, StoreError> {
    let parsed = redis::parse_redis_url(url).ok_or(StoreError::Url)?;
    if matches!(parsed.scheme(), "rediss" | "valkeys") {
        super::tls::prepare()?;
    }
    parsed.into_connection_info().map_err(|_| StoreError::Url)
}
